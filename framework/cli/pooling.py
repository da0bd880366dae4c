"""`triptych embed`, `classify` and `score`: texts on the command line, or a file of them -> a JSON object for each."""

from __future__ import annotations

import argparse
import sys

from triptych.cli.progress import loading
from triptych.cli.where import add_where, where_of

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from argparse import _SubParsersAction
    from collections.abc import Mapping, Sequence

    from triptych.tasks.source import Conversion
    from triptych.tasks.works import Work

HELP = {
    "embed": "embed texts: a row of numbers for each",
    "classify": "classify texts: the chance of each label",
    "score": "score documents for a query",
}
TEXTS = {"embed": "a text; repeatable", "classify": "a text; repeatable", "score": "a query, then documents"}
OBJECTS = {
    "embed": '{"text": ...}',
    "classify": '{"text": ...}, perhaps with "pair"',
    "score": '{"query": ..., "document": ...}',
}


def add(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    for command in HELP:
        _add(commands, command)


def _add(commands: _SubParsersAction[argparse.ArgumentParser], command: str) -> None:
    parser = commands.add_parser(command, help=HELP[command])
    parser.add_argument("model", metavar="MODEL", help="a checkpoint folder, or a hub id")
    parser.add_argument("texts", nargs="*", default=[], metavar="TEXT", help=TEXTS[command])
    parser.add_argument("--file", metavar="FILE", help=f"a JSON object on each line: {OBJECTS[command]}")
    parser.add_argument("--out", metavar="OUT", help="write there, and take up what an interrupted run left")
    if command != "score":
        parser.add_argument("--lines", action="store_true", help="FILE has a plain text on each line")
        parser.add_argument("--tokens", action="store_true", help="for each token of a text instead of the whole")
    if command == "score":
        ways = ("embed", "token_embed", "classify")
        parser.add_argument("--convert", choices=ways, help="make a model that writes one that scores so")
    if command == "embed":
        parser.add_argument("--prompt", metavar="NAME", help="what stands before a text, by its name there")
    parser.add_argument(
        "--truncate", action="store_true", help="leave out the end of what is longer than the model takes"
    )
    add_where(parser)
    parser.add_argument("--max-batch", type=int, default=32, metavar="N", help="texts in one call (default 32)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="key=value", help="on top of the spec; repeatable"
    )
    parser.set_defaults(
        run=lambda args: _checked(parser, args, command), lines=False, tokens=False, convert=None, prompt=None
    )


def _checked(parser: argparse.ArgumentParser, args: argparse.Namespace, command: str) -> int:
    if wrong := _wrong_usage(args, command):
        parser.error(wrong)
    return run(args, command)


def run(args: argparse.Namespace, command: str) -> int:
    if args.file is not None:
        from triptych.cli.pooled_file import run_file

        return run_file(args, command)
    from triptych.tasks.file_run import results

    if command == "score":
        rows = [{"query": args.texts[0], "document": text} for text in args.texts[1:]]
    else:
        rows = [{"text": text} for text in args.texts]
    work = load_work(args, command)
    print_rows(results(work, rows, run=work.pooling.options(max_batch=args.max_batch)))
    return 0


def load_work(args: argparse.Namespace, command: str) -> Work:
    """The model as it does what the command says. Raises TriptychError for one that cannot."""
    from triptych.tasks import load
    from triptych.tasks.works import work_of

    convert = _conversion(args, command)
    with loading(f"loading {args.model}") as progress:
        model = load(args.model, **where_of(args), convert=convert, overrides=args.set, progress=progress)
    task = None if command == "score" else convert
    return work_of(model, command, task=task, prompt=args.prompt, truncate=args.truncate)


def _conversion(args: argparse.Namespace, command: str) -> Conversion | None:
    """What the model is to be made; to score, what it is already, unless the words say otherwise."""
    whole: dict[str, Conversion | None] = {"embed": "embed", "classify": "classify", "score": args.convert}
    of_tokens: dict[str, Conversion | None] = {"embed": "token_embed", "classify": "token_classify"}
    return (of_tokens if args.tokens else whole)[command]


def print_rows(rows: Sequence[Mapping[str, object]]) -> None:
    """Each as a line of JSON on stdout, with escapes for other letters where that is no UTF-8."""
    import json

    whole = sys.stdout.encoding.lower().replace("-", "") == "utf8"
    sys.stdout.writelines(f"{json.dumps(row, ensure_ascii=not whole)}\n" for row in rows)
    sys.stdout.flush()


def _wrong_usage(args: argparse.Namespace, command: str) -> str | None:
    """What is wrong with how the words stand together, if anything is."""
    least, what = (2, "a query and a document are wanted") if command == "score" else (1, "a text is wanted")
    if bool(args.texts) == bool(args.file) or 0 < len(args.texts) < least:
        return f"{what}, or a file of them by --file, and not both"
    if args.file is None and (args.out or args.lines):
        return "--out and --lines are for a --file"
    return None
