"""A classifier whose labels are tokens: rows of a language model's head stand for the layer that a checkpoint lacks.

A config says so under `classifier_from_token`, the tokens, and `method`, what is made of their rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from triptych.errors import Problem, SpecError, short, suggest

Method = Literal["from_2_way_softmax", "no_post_processing"]
TOKENS, METHOD = "classifier_from_token", "method"
MAX_LABELS = 2**20


@dataclass(frozen=True)
class TokenLabels:
    """Which rows of the head make the layer of the labels, [labels, H].

    `from_2_way_softmax`: one label from two tokens, false and true; its row is W[true] - W[false], so that the sigmoid
    of its number is the chance of `true` among the two. `no_post_processing`: a label for each token, its row as it is.
    """

    ids: tuple[int, ...]
    method: Method

    @property
    def of(self) -> tuple[int, ...]:
        """The rows that are taken."""
        return self.ids[1:] if self.method == "from_2_way_softmax" else self.ids

    @property
    def less(self) -> tuple[int, ...]:
        """The rows that are taken from those, one from each; none of them for rows as they are."""
        return self.ids[:1] if self.method == "from_2_way_softmax" else ()

    def check(self, vocab: int) -> None:
        """Raise SpecError for ids that a vocabulary of that size does not have."""
        if over := [str(token) for token in self.ids if token >= vocab]:
            raise SpecError(f"no row {', '.join(over)} in a head over {vocab} tokens", path=f"config.{TOKENS}")


def read_token_labels(config: Mapping[str, Any]) -> TokenLabels | None:
    """What a config says of tokens that are labels; None where it says nothing. Raises SpecError with every mistake."""
    tokens, method = config.get(TOKENS), config.get(METHOD)
    if tokens is None and method is None:
        return None
    if problems := [*_token_problems(tokens, method), *_method_problems(method)]:
        raise SpecError(problems)
    assert isinstance(tokens, list | tuple)
    return TokenLabels(tuple(tokens), cast(Method, method))


def _token_problems(tokens: object, method: object) -> Iterator[Problem]:
    at = f"config.{TOKENS}"
    if not isinstance(tokens, list | tuple) or not tokens:
        yield Problem(f"a list of tokens is wanted beside `{METHOD}`, not {short(tokens)}", at)
        return
    if wrong := [token for token in tokens if isinstance(token, bool) or not isinstance(token, int) or token < 0]:
        yield Problem(f"ids of tokens are wanted here, not {short(wrong)}; `load` looks texts up in the tokenizer", at)
    if method == "from_2_way_softmax" and len(tokens) != 2:
        yield Problem(f"{method} takes two tokens, first the one for false; found {len(tokens)}", at)
    if len(tokens) > MAX_LABELS:
        yield Problem(f"{len(tokens)} tokens; at most {MAX_LABELS} can be labels", at)


def _method_problems(method: object) -> Iterator[Problem]:
    known = get_args(Method)
    if method is None:
        yield Problem(
            f"what is made of the tokens' rows is wanted beside `{TOKENS}`: {' or '.join(known)}", f"config.{METHOD}"
        )
    elif method not in known:
        yield Problem(f"there is no method {short(method)}{suggest(str(method), known)}", f"config.{METHOD}")
