"""A step that the device was asked for, and whose tokens are on their way: the next one may begin without them."""

# B requests that draw a token, W of them that write

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from triptych.errors import TriptychError
from triptych.runner.drawn import Drawn
from triptych.runner.entry import Entry
from triptych.runner.logprobs import TokenLogprob


class Landed(NamedTuple):
    """What one request drew, now known; with an `error` the token means nothing."""

    entry: Entry
    token_id: int
    logprob: TokenLogprob | None
    error: TriptychError | None


class Flight:
    """The `entries` that draw in a step, none maybe, and what they draw.

    It is copied to the host as soon as it is there: `land` waits for that, and nothing else does.
    """

    def __init__(self, entries: Sequence[Entry], drawn: Drawn | None) -> None:
        self.entries, self._drawn = entries, drawn
        self._on_host = drawn.on_host() if drawn else None
        self._copied = _event(drawn.token_ids.device) if drawn else None

    @property
    def is_needed(self) -> bool:
        """Whether the next step cannot begin without its tokens: where an answer has a form, they say what may come."""
        return any(entry.form is not None for entry in self.entries)

    def tokens_of(self, writers: Sequence[Entry]) -> Tensor:
        """The tokens [W], on the device, that these drew; each of them is among the entries."""
        assert self._drawn is not None, "whoever writes drew in the step before"
        tokens_B = self._drawn.token_ids
        if writers == self.entries:
            return tokens_B
        rows = {entry: row for row, entry in enumerate(self.entries)}
        return tokens_B[torch.tensor([rows[entry] for entry in writers], device=tokens_B.device)]

    def land(self) -> Iterator[Landed]:
        """What each of the entries drew, when it is there."""
        if self._copied is not None:
            self._copied.synchronize()
        if self._on_host is None:
            return
        failures = self._on_host.failures()
        found = zip(self.entries, self._on_host.token_ids.tolist(), self._on_host.logprobs(), strict=True)
        for row, (entry, token, logprob) in enumerate(found):
            yield Landed(entry, token, logprob, failures.get(row))


def _event(device: torch.device) -> torch.Event | None:
    """What tells that all that the device was asked for until now is done; a CPU has done it."""
    if device.type == "cpu":
        return None
    event = torch.Event(device)
    event.record()
    return event
