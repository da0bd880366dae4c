"""The clips of a sound in their order, each after the text of those before it.

As transformers' Whisper does it with `condition_on_prev_tokens`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from triptych.inputs.prompt import Prompt
from triptych.tasks.attempts import Attempts
from triptych.tasks.fallback import Fallback

if TYPE_CHECKING:
    from triptych.tasks.transcribe import Asked

HOT = 0.5  # from which temperature on a text is not believed enough to go on from


def answers_in_turn(
    asked: Asked, prompts: Sequence[Prompt], fallback: Fallback, *, before: Sequence[int], tell: Callable[[], None]
) -> list[list[int]]:
    """The tokens of each clip, whose prompt begins with those of all before it, and first of all with `before`.

    A clip after one that was drawn at a high temperature begins with `before` alone.
    """
    said, is_hot, found = [*before], False, list[list[int]]()
    for number, prompt in enumerate(prompts):
        own = replace(fallback, seed=None if fallback.seed is None else fallback.seed + number)
        attempts = Attempts(asked, [asked.after(before if is_hot else said, prompt)], own, 1, tell)
        (tokens,) = attempts.answers()
        found.append(tokens)
        said += without_second_mark(asked, tokens)
        is_hot = attempts.temperatures[0] >= HOT
    return found


def without_second_mark(asked: Asked, tokens: Sequence[int]) -> Sequence[int]:
    """Of two marks of time at the end the second opens a segment that is not there."""
    if asked.timestamps and len(tokens) > 2 and min(tokens[-2:]) >= asked.first_mark:
        return tokens[:-1]
    return tokens
