"""What `transcribe` gives: the text of a sound, and when each segment of it is said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from triptych.inputs.tokenizer import Tokenizer

STEP = 0.02  # seconds from one mark of time to the next


@dataclass(frozen=True)
class Segment:
    """What is said from second `start` to second `end`."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class Transcript:
    """The text of a sound of `duration` seconds. `language` is its code, None for a model that knows one alone.

    `segments` are there where times were asked for.
    """

    text: str
    language: str | None
    duration: float
    segments: tuple[Segment, ...] = ()


def segments_of(
    token_ids: Sequence[int], *, first_mark: int, tokenizer: Tokenizer, start: float, end: float
) -> Iterator[Segment]:
    """The segments of one clip, which lasts from second `start` to second `end`; `first_mark` is that of its start.

    What no mark closes ends with the clip. A segment without text is none.
    """
    begins, text = 0.0, list[int]()
    for token in [*token_ids, None]:
        if token is not None and token < first_mark:
            text.append(token)
            continue
        at = end - start if token is None else min((token - first_mark) * STEP, end - start)
        if words := tokenizer.decode(text).strip():
            yield Segment(round(start + begins, 3), round(start + at, 3), words)
        begins, text = at, []
