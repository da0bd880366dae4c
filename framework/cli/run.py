"""`triptych run`: a model and a prompt -> tokens, as they come."""

from __future__ import annotations

import argparse
import sys

from triptych.cli.output import print_json
from triptych.cli.progress import loading

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from argparse import _SubParsersAction
    from typing import Any


def add(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("run", help="generate text from a prompt")
    parser.add_argument("model", metavar="MODEL", help="a checkpoint folder, a hub id, or a spec with --random-init")
    parser.add_argument("prompt", metavar="PROMPT", help="what to say to it; - reads standard input")
    parser.add_argument(
        "overrides",
        nargs="*",
        default=[],
        metavar="key=value",
        help="on top of the spec, e.g. parts.attention.window=64",
    )
    parser.add_argument(
        "--image", action="append", default=[], metavar="FILE", help="an image that goes with the prompt; repeatable"
    )
    parser.add_argument(
        "--max-tokens", type=int, default=256, metavar="N", help="at most this many tokens (default 256)"
    )
    parser.add_argument(
        "--temperature", type=float, default=0.0, metavar="T", help="0 (default) takes the likeliest token"
    )
    parser.add_argument("--top-k", type=int, default=0, metavar="K", help="draw from the K likeliest (0: all)")
    parser.add_argument("--top-p", type=float, default=1.0, metavar="P", help="draw from the likeliest that make up P")
    parser.add_argument("--seed", type=int, metavar="S", help="draw the same tokens every time")
    parser.add_argument("--stop", action="append", default=[], metavar="TEXT", help="end before this text; repeatable")
    parser.add_argument("--raw", action="store_true", help="the prompt as it is, without the chat template")
    parser.add_argument(
        "--random-init", action="store_true", help="MODEL is a spec; its sample config with random weights"
    )
    parser.add_argument("--device", default="cpu", help="where the model runs (default cpu)")
    parser.add_argument("--dtype", help="float32, bfloat16 or float16 (default: the checkpoint's)")
    parser.add_argument("--json", action="store_true", help="one JSON object at the end instead of text as it comes")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    prompt = sys.stdin.read() if args.prompt == "-" else args.prompt
    options: dict[str, Any] = {
        name: getattr(args, name) for name in ("max_tokens", "temperature", "top_k", "top_p", "seed", "stop", "raw")
    }
    options["images"] = args.image or None
    model = _model(args)
    if args.json:
        (answer,) = model.generate([prompt], **{**options, "images": [args.image] if args.image else None})
        print_json({"text": answer.text, "token_ids": answer.token_ids, "finish_reason": answer.finish_reason})
        return 0
    for text in model.stream(prompt, **options):
        sys.stdout.write(text)
        sys.stdout.flush()
    print()
    return 0


def _model(args: argparse.Namespace) -> Any:
    from triptych.tasks import load, random_init

    if args.random_init:
        return random_init(
            args.model, device=args.device, dtype=args.dtype, seed=args.seed or 0, overrides=args.overrides
        )
    with loading(f"loading {args.model}") as progress:
        return load(args.model, device=args.device, dtype=args.dtype, overrides=args.overrides, progress=progress)
