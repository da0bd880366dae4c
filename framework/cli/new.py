"""`triptych new`: a package that adds a family, ready to be installed and tested."""

from __future__ import annotations

import argparse
import sys

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from argparse import _SubParsersAction


def add(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("new", help="write a package that adds a family: spec, entry points, tests")
    parser.add_argument("name", metavar="NAME", help="of the package, as pip is to know it: my-model")
    parser.add_argument("--base", metavar="SPEC", help="the family to begin with (default: the nearest one, or llama)")
    parser.add_argument(
        "--from-config",
        metavar="FILE",
        help="a checkpoint's config.json, or its folder: draft the spec from the nearest family",
    )
    parser.add_argument("--part", metavar="KIND.NAME", help="with a part of its own: norm.NAME or mixer.NAME")
    parser.add_argument("--out", metavar="FOLDER", help="where to write it (default ./NAME)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from pathlib import Path

    from triptych.cli.scaffold.drafting import draft
    from triptych.cli.scaffold.names import check_names
    from triptych.cli.scaffold.package import package_files, write_package
    from triptych.errors import OptionError
    from triptych.spec.config_file import read_config

    names = check_names(args.name, args.part)
    config = read_config(Path(args.from_config)) if args.from_config is not None else None
    spec = draft(names, base=args.base, config=config, part=args.part)
    target = Path(args.name if args.out is None else args.out)
    found = package_files(names, spec, part=args.part)
    try:
        write_package(found, target)
    except OSError as error:
        raise OptionError(f"{target} cannot be written: {error.strerror or error}") from None
    for line in (*spec.remarks, *(f"no place in {spec.base} for {reason}" for reason in spec.lost)):
        print(line, file=sys.stderr)
    for path in found:
        print(target / path)
    print(f"on top of {spec.base}; next: cd {target} && pip install '.[test]' && pytest", file=sys.stderr)
    return 0
