"""What may come next in a transcript: tokens that are never written, and marks of time, which come in pairs."""

# V vocabulary

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Marks:
    """Tokens of time from `first` on; `latest` is the last of them that may open a transcript. `off` asks for none."""

    first: int
    off: int | None = None
    latest: int | None = None


@dataclass(eq=False)
class Scores:
    """The logprobs of the tokens of one transcript, each among those that might have come in its place.

    `first` is that of `watched` as the first of them, whatever came.
    """

    total: float = 0.0
    count: int = 0
    watched: int | None = None
    first: float | None = None
    _next_V: Tensor | None = None

    def see(self, logits_V: Tensor, allowed_V: Tensor) -> None:
        """What the next token is drawn from."""
        self._next_V = logits_V.detach().float().cpu().masked_fill(~allowed_V, -torch.inf).log_softmax(-1)
        if self.watched is not None and self.first is None:
            self.first = float(self._next_V[self.watched])

    def take(self, token: int) -> None:
        """The token that was drawn; one that was taken before, as of an answer that begins again, counts once."""
        if self._next_V is not None:
            self.total, self.count = self.total + float(self._next_V[token]), self.count + 1
            self._next_V = None

    def mean(self, last: int) -> float:
        """Of all tokens with the `last`, of which nobody is told where it ends the answer."""
        self.take(last)
        return self.total / max(self.count, 1)


@dataclass(frozen=True)
class Transcript:
    """The form of a transcript: `never` are tokens that are not written, `not_first` those that do not begin it.

    With `marks` it begins with a mark of time, text stands between a mark and the next, and no mark is earlier than the
    one before. Where there are `scores` its tokens are scored. Radford and others 2022, arXiv 2212.04356, section 4.5.
    """

    vocab_size: int
    never: tuple[int, ...] = ()
    not_first: tuple[int, ...] = ()
    marks: Marks | None = None
    scores: Scores | None = field(default=None, compare=False)

    def start(self, end_ids: Collection[int]) -> TranscriptForm:
        """For an answer that these ids end."""
        return TranscriptForm(self, end_ids)


class TranscriptForm:
    """One transcript as it grows."""

    def __init__(self, of: Transcript, end_ids: Collection[int]) -> None:
        self._of, self._tokens = of, list[int]()
        self._ends = [token for token in end_ids if token < of.vocab_size]

    def push(self, token: int) -> bool:
        """Take the next token -> whether nothing can follow, which is never so."""
        self._tokens.append(token)
        if self._of.scores is not None:
            self._of.scores.take(token)
        return False

    def allowed(self) -> Tensor:
        """Whether each token may come next, [V], bool."""
        found = torch.ones(self._of.vocab_size, dtype=torch.bool)
        found[[*self._of.never]] = False
        if not self._tokens:
            found[[*self._of.not_first]] = False
        if self._of.marks is not None:
            self._hide_marks(found, self._of.marks)
        return found

    def allowed_of(self, logits_V: Tensor) -> Tensor:
        """The same; a mark has to come where marks together are likelier than any one other token."""
        found = self._weighed(logits_V)
        if self._of.scores is not None:
            self._of.scores.see(logits_V, found)
        return found

    def _weighed(self, logits_V: Tensor) -> Tensor:
        found = self.allowed()
        if self._of.marks is None:
            return found
        first = self._of.marks.first
        seen_V = logits_V.detach().float().cpu().masked_fill(~found, -torch.inf)
        if seen_V[first:].logsumexp(0) > seen_V[:first].amax():
            found[:first] = False
        return found

    def _hide_marks(self, found: Tensor, marks: Marks) -> None:
        first = marks.first
        if marks.off is not None:
            found[marks.off] = False
        if not self._tokens:
            found[:first] = False
            if marks.latest is not None:
                found[marks.latest + 1 :] = False
            return
        is_mark = [token >= first for token in self._tokens]
        if is_mark[-1] and all(is_mark[-2:-1]):
            found[first:] = False  # a segment begins, and has text
        elif is_mark[-1]:
            self._hide_text(found)  # a segment has ended: the next begins, or the transcript ends
        if earlier := _last(self._tokens, first):
            again = is_mark[-1] and not all(is_mark[-2:-1])
            found[first : earlier + (0 if again else 1)] = False

    def _hide_text(self, found: Tensor) -> None:
        ends = found[self._ends].clone()
        found[: self._of.marks.first if self._of.marks else 0] = False
        found[self._ends] = ends


def _last(tokens: Sequence[int], first: int) -> int | None:
    return next((token for token in reversed(tokens) if token >= first), None)
