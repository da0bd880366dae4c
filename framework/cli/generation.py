"""The options of an answer as words on a command line."""

from __future__ import annotations

import argparse

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from triptych.runner.logprobs import TokenLogprob

# Each is an option of the same name; those without a default are left out unless they are given
NUMBERS: tuple[tuple[str, type, str, str], ...] = (
    ("--min-tokens", int, "N", "at least this many tokens"),
    ("--temperature", float, "T", "0 (default) takes the likeliest token"),
    ("--top-k", int, "K", "draw from the K likeliest (0: all)"),
    ("--top-p", float, "P", "draw from the likeliest that make up P"),
    ("--min-p", float, "P", "draw from those at least P times as likely as the likeliest"),
    ("--repetition-penalty", float, "R", "above 1: what was in the prompt or the answer comes less"),
    ("--presence-penalty", float, "R", "above 0: what was in the answer comes less"),
    ("--frequency-penalty", float, "R", "above 0: the less, the more often it was there"),
    ("--seed", int, "S", "draw the same tokens every time"),
    ("--logprobs", int, "K", "with --json: logprobs of the tokens and of the K likeliest"),
    ("--prompt-logprobs", int, "K", "with --json: the same of the prompt"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The flags of all options."""
    group = parser.add_argument_group("the answer")
    group.add_argument(
        "--max-tokens", type=int, default=256, metavar="N", help="at most this many tokens (default 256)"
    )
    for flag, kind, metavar, told in NUMBERS:
        group.add_argument(flag, type=kind, metavar=metavar, help=told)
    biased = "add a number to the logit of a token; repeatable"
    group.add_argument("--logit-bias", action="append", type=_bias, metavar="ID=N", help=biased)
    group.add_argument("--stop", action="append", metavar="TEXT", help="end before this text; repeatable")
    ends = "end with this token; repeatable"
    group.add_argument("--stop-token-id", action="append", type=int, dest="stop_token_ids", metavar="ID", help=ends)
    group.add_argument("--ignore-eos", action="store_true", default=None, help="go on past the model's end tokens")
    group.add_argument("--json-schema", metavar="FILE", help="the answer is JSON that fits this schema")
    group.add_argument("--regex", metavar="REGEX", help="the answer matches this expression as a whole")


def options_of(args: argparse.Namespace) -> dict[str, Any]:
    """The options that are given, as `generate` takes them. Raises TriptychError for a schema that cannot be read."""
    names = [flag.removeprefix("--").replace("-", "_") for flag, *_ in NUMBERS]
    names += ["max_tokens", "logit_bias", "stop", "stop_token_ids", "ignore_eos", "json_schema", "regex"]
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    if "logit_bias" in given:
        given["logit_bias"] = dict(given["logit_bias"])
    if "json_schema" in given:
        from pathlib import Path

        from triptych.spec.json_file import read_json

        given["json_schema"] = read_json(Path(args.json_schema))
    if not args.json:
        _check_shown(given)
    return given


def as_json(logprobs: Iterable[TokenLogprob | None]) -> list[dict[str, object] | None]:
    """Logprobs as they are printed."""
    return [None if each is None else _as_json(each) for each in logprobs]


def _as_json(given: TokenLogprob) -> dict[str, object]:
    likeliest = [{"token_id": token, "logprob": value} for token, value in given.likeliest.items()]
    return {"token_id": given.token_id, "logprob": given.logprob, "likeliest": likeliest}


def _check_shown(given: dict[str, Any]) -> None:
    """Raise OptionError for what a text alone does not show."""
    if asked := [name for name in ("logprobs", "prompt_logprobs") if name in given]:
        from triptych.errors import OptionError, Problem

        raise OptionError(Problem("is shown with --json alone", name) for name in asked)


def _bias(text: str) -> tuple[int, float]:
    token, _, number = text.partition("=")
    return int(token), float(number)


_bias.__name__ = "ID=N"  # argparse says it of what it cannot read
