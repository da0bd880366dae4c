"""A step of one new row a sequence, of which the host knows nothing but how many there are."""
# B sequences, N groups that forget alike, G key/value heads, K head width

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from triptych.kernels.attention import DecodeSpans, Kept
from triptych.parts.step import Step

if TYPE_CHECKING:
    from triptych.parts.cache import Cache


class DecodeStep(Step):
    """All its numbers are tensors, so that what layers ask of the device can be recorded, and replayed with others.

    Rows go to `slots` [N, B] of the cache, of each group; below nought for a sequence that is not there, of which the
    first one's are written once more. There are no slots of states.
    """

    slots_NB: Tensor

    def __init__(self, spans: DecodeSpans, *, slots_NB: Tensor, positions: Tensor, cache: Cache) -> None:
        super().__init__(spans, device=positions.device, cache=cache, positions=positions)
        self.slots_NB = slots_NB

    def store(self, key: str, *rows: Tensor) -> Kept | None:
        there_B11 = self.once("there", lambda: (self.slots_NB[0] >= 0)[:, None, None])
        return super().store(key, *(rows_BGK.where(there_B11, rows_BGK[:1]) for rows_BGK in rows))
