"""Words on a command line -> one call. Each command imports what it needs when it runs."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from typing import Any

EPILOG = "exit status: 0 done, 1 your input, 2 the usage; the answer goes to stdout, all else to stderr"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; what a user got wrong, or a user who stops it, is said on stderr, without a traceback."""
    try:
        return _run(argv)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _run(argv: Sequence[str] | None) -> int:
    args = _arguments(argv)
    from triptych.errors import TriptychError

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a path may hold what the terminal's encoding does not
            stream.reconfigure(errors="backslashreplace")
    try:
        status: int = args.run(args)
        if sys.stdout:  # None where it was closed before we began
            sys.stdout.flush()
    except TriptychError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # the reader of our output has gone; there is nobody to tell
            print(error, file=sys.stderr)
        with suppress(OSError):  # where stdout is no file
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left unwritten would fail again
        return 1
    return status


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments of a command; overrides and texts may stand among its options."""
    parser = _parser()
    args, rest = parser.parse_known_args(argv)
    takes = next((name for name in ("overrides", "texts", "words") if hasattr(args, name)), "")
    if rest and (not takes or any(word.startswith("-") and word != "-" for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        setattr(args, takes, [*getattr(args, takes), *rest])
    return args


def _parser() -> argparse.ArgumentParser:
    from triptych.cli import check, experiment, listing, new, pooling, run, schema, show, transcribe, validate

    parser = _Parser(prog="triptych", description="Models as data.", epilog=EPILOG)
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in (listing, show, validate, check, schema, run, pooling, transcribe, experiment, new):
        command.add(commands)
    parser.set_defaults(run=lambda args: _without_command(parser, args))
    return parser


class _Parser(argparse.ArgumentParser):
    """One for the program and one for each command, all with the same formatter."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=_formatter, **options)


def _formatter(prog: str) -> argparse.HelpFormatter:
    """As wide as the terminal. argparse would ask `shutil`, which imports every compression there is."""
    given = os.environ.get("COLUMNS", "")
    try:
        columns = int(given) if given.isdecimal() else os.get_terminal_size().columns
    except OSError:  # no terminal
        columns = 0
    return argparse.HelpFormatter(prog, width=(columns or 80) - 2)


def _without_command(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    if args.version:
        from importlib.metadata import version

        print(version("triptych"))
        return 0
    parser.print_help(sys.stderr)
    return 2
