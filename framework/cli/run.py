"""`triptych run`: a model and a prompt -> tokens, as they come."""

from __future__ import annotations

import argparse
import sys

from triptych.cli.generation import add_options, as_json, options_of
from triptych.cli.output import print_json
from triptych.cli.progress import loading
from triptych.cli.where import add_where, where_of

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from argparse import _SubParsersAction
    from collections.abc import Sequence
    from typing import Any

    from PIL.Image import Image

    from triptych.tasks.completion import Completion

USAGE = "triptych run [options] [[MODEL] PROMPT [key=value ...]]"
HELP = "generate text from a prompt; without a model, ask the one that comes with triptych"
WORDS = ("MODEL", "PROMPT")
TOLD = (
    "Without a MODEL the one is asked that comes with triptych, a small one that reads handwritten numbers: about a "
    "picture of its own where there is no --image. A PROMPT without a MODEL is several words, ends with a question "
    "mark, or is -."
)


def add(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("run", help=HELP, usage=USAGE, description=TOLD)
    parser.add_argument(
        "words",
        nargs="*",
        default=[],
        metavar="MODEL PROMPT key=value",
        help="a checkpoint folder, a hub id, or a spec with --random-init; what to say to it (- reads standard input); "
        "and what is on top of the spec, e.g. parts.attention.reach.window=64",
    )
    parser.add_argument(
        "--image", action="append", default=[], metavar="FILE", help="an image that goes with the prompt; repeatable"
    )
    parser.add_argument(
        "--video", action="append", default=[], metavar="FILE", help="a video that goes with the prompt; repeatable"
    )
    parser.add_argument(
        "--audio", action="append", default=[], metavar="FILE", help="a sound that goes with the prompt; repeatable"
    )
    parser.add_argument("--spec", metavar="SPEC", help="the spec that reads the checkpoint, if not its config's")
    parser.add_argument("--raw", action="store_true", help="the prompt as it is, without the chat template")
    parser.add_argument(
        "--random-init", action="store_true", help="MODEL is a spec; its sample config with random weights"
    )
    add_where(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object at the end instead of text as it comes")
    add_options(parser)
    parser.set_defaults(run=lambda args: run(_read(parser, args)))


def _read(parser: argparse.ArgumentParser, args: argparse.Namespace) -> argparse.Namespace:
    """The words by what they are."""
    from triptych.cli.embedded import QUESTION, folder, is_asked, picture

    args.embedded = is_asked(args.words) and not (args.random_init or args.spec) and folder().is_dir()
    if args.embedded:
        args.model = str(folder())
        args.prompt, *args.overrides = args.words or [QUESTION]
        if not (args.image or args.video or args.audio):
            args.image = [picture()]
    elif len(args.words) < len(WORDS):
        parser.error(f"the following arguments are required: {', '.join(WORDS[len(args.words) :])}")
    else:
        args.model, args.prompt, *args.overrides = args.words
    return args


def run(args: argparse.Namespace) -> int:
    prompt = sys.stdin.read() if args.prompt == "-" else args.prompt
    images = _asked_about(args.image, prompt) if args.embedded else args.image
    items = {"images": images or None, "videos": args.video or None, "sounds": args.audio or None}
    options = {**items, "raw": args.raw, **options_of(args)}
    model = _model(args)
    if args.json:
        (answer,) = model.generate(prompt, **options)
        print_json(_printed(answer))
        return 0
    for text in model.stream(prompt, **options):
        sys.stdout.write(text)
        sys.stdout.flush()
    print()
    return 0


def _asked_about(paths: Sequence[str], question: str) -> list[str | Image]:
    from triptych.cli.embedded import prepared, read_pictures, show

    pictures = read_pictures(paths)
    show(paths, pictures, question)
    return prepared(pictures)


def _printed(answer: Completion) -> dict[str, object]:
    asked = {"logprobs": answer.logprobs, "prompt_logprobs": answer.prompt_logprobs}
    return {
        **{"text": answer.text, "token_ids": answer.token_ids, "finish_reason": answer.finish_reason},
        **{name: as_json(found) for name, found in asked.items() if found is not None},
    }


def _model(args: argparse.Namespace) -> Any:
    from triptych.errors import OptionError
    from triptych.tasks import load, random_init

    options = {**where_of(args), "overrides": args.overrides}
    if args.random_init:
        if args.spec:
            raise OptionError("--random-init takes its spec as MODEL", path="--spec")
        return random_init(args.model, **options, seed=args.seed or 0)
    if args.embedded:  # a bar would take longer than it shows
        return load(args.model, **options)
    with loading(f"loading {args.model}") as progress:
        return load(args.model, spec=args.spec, **options, progress=progress)
