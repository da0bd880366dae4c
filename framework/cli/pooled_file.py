"""A file of rows -> the same rows with what comes of them: to stdout, or to a file that a later run can take up."""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import version
from pathlib import Path

from triptych.cli.pooling import load_work, print_rows
from triptych.cli.progress import counting
from triptych.errors import OptionError
from triptych.inputs.lines import Checked, Fields, Lines

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from triptych.tasks.kept_rows import KeptRows
    from triptych.tasks.works import Work

FIELDS = {
    ("embed", False): Fields(["text"], written=["embedding"]),
    ("embed", True): Fields(["text"], written=["embeddings"]),
    ("classify", False): Fields(["text"], ["pair"], written=["labels"]),
    ("classify", True): Fields(["text"], ["pair"], written=["token_labels"]),
    ("score", False): Fields(["query", "document"], written=["score"]),
}
SAID = (
    "convert",
    "tokens",
    "lines",
    "prompt",
    "truncate",
    "device",
    "dtype",
    "kernels",
    "max_batch",
    "set",
)  # of the words of a command


def run_file(args: argparse.Namespace, command: str) -> int:
    """All mistakes of the file are told before anything runs; one in a row's form before the model is loaded."""
    lines = Lines(Path(args.file), plain="text" if args.lines else None)
    out = None if args.out is None else Path(args.out)
    if out is not None and out.exists() and lines.path.exists() and out.samefile(lines.path):
        raise OptionError(f"{out} is the file that is read; name another", path="out")
    checked = lines.check(FIELDS[command, args.tokens])
    if out is None:
        _print(args, command, lines)
    else:
        _keep(args, command, lines, checked=checked, out=out)
    return 0


def _print(args: argparse.Namespace, command: str, lines: Lines) -> None:
    from triptych.tasks.file_run import WINDOW, check_taken, windows

    work = load_work(args, command)
    run = work.pooling.options(max_batch=args.max_batch)
    check_taken(work, lines)
    for rows in windows(work, lines, after=0, run=run, window=WINDOW):
        print_rows(rows)


def _keep(args: argparse.Namespace, command: str, lines: Lines, *, checked: Checked, out: Path) -> None:
    from triptych.tasks.file_run import WINDOW
    from triptych.tasks.kept_rows import open_rows

    begun = {**_begun(args, command), "input": checked.digest, "window": WINDOW}
    with open_rows(out, begun=begun, total=checked.rows, window=WINDOW) as kept:
        before = f", {kept.done} of them from before" if kept.done else ""
        try:
            if kept.done < checked.rows:
                _go_on(load_work(args, command), lines, kept=kept, total=checked.rows, max_batch=args.max_batch)
        except (KeyboardInterrupt, OSError):
            print(f"{kept.done} of {checked.rows} rows are in {out}; the same command goes on there", file=sys.stderr)
            raise
    print(f"{checked.rows} rows are in {out}{before}", file=sys.stderr)


def _begun(args: argparse.Namespace, command: str) -> dict[str, object]:
    """All but the input that the bytes of the output follow from."""
    from triptych.tasks.fingerprint import fingerprint
    from triptych.tasks.source import fetched

    versions = {name: version(name) for name in ("triptych", "torch")}
    said = {name: getattr(args, name) for name in SAID}
    return {"command": command, **versions, **said, "model": fingerprint(fetched(args.model))}


def _go_on(work: Work, lines: Lines, *, kept: KeptRows, total: int, max_batch: int) -> None:
    from triptych.tasks.file_run import WINDOW, check_taken, windows

    run = work.pooling.options(max_batch=max_batch)
    if not kept.done:
        with counting("checking") as progress:
            check_taken(work, lines, progress=lambda done: progress(done, total))
    with counting(f"{lines.path.name}") as progress:
        progress(kept.done, total)
        for rows in windows(work, lines, after=kept.done, run=run, window=WINDOW):
            kept.add(rows)
            progress(kept.done, total)
