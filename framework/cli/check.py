"""`triptych check`: the ladder, rung by rung."""

from __future__ import annotations

import argparse

from triptych.cli.reports import add_options, lines

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from argparse import _SubParsersAction
    from collections.abc import Iterator
    from pathlib import Path

    from triptych.spec.rungs import Report


def add(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("check", help="build specs without memory; compare them with a checkpoint's headers")
    parser.add_argument(
        "specs", nargs="+", metavar="NAME|PATH", help="a registered spec, a YAML file, or a trained folder"
    )
    parser.add_argument("--checkpoint", metavar="DIR", help="a folder with config.json and safetensors files")
    parser.add_argument(
        "--gpu", nargs="?", const="sm_90", type=_gpu, metavar="ARCH", help="compile its kernels for this one (sm_90)"
    )
    add_options(parser, rungs=("spec", "capabilities", "shape", "weights", "gpu"))
    parser.add_argument("--json", action="store_const", const="json", dest="format", help="the same as --format json")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from pathlib import Path

    reports: list[Report] = []
    checkpoint = Path(args.checkpoint) if args.checkpoint is not None else None
    for line in lines(args.format, _climb(args, checkpoint, reports)):
        print(line, flush=True)
    return int(not all(report.passed for report in reports))


def _gpu(word: str) -> str:
    from triptych.errors import OptionError
    from triptych.spec.rungs import gpu_named

    try:
        gpu_named(word)
    except OptionError as error:
        raise argparse.ArgumentTypeError("; ".join(problem.message for problem in error.problems)) from None
    return word


def _climb(args: argparse.Namespace, checkpoint: Path | None, into: list[Report]) -> Iterator[Report]:
    """Each report as soon as it is there, kept in `into` for the status."""
    from triptych.check import check_spec

    for spec in args.specs:
        into.append(check_spec(spec, checkpoint=checkpoint, rungs=args.rung, gpu=args.gpu))
        yield into[-1]
