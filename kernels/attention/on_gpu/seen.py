"""What rows look at, and how: the options of a call as kernels take them."""

from __future__ import annotations

from dataclasses import dataclass
from math import e, log2
from typing import Any

import torch
import triton
from torch import Tensor

from triptych.kernels.attention.alibi import slopes
from triptych.kernels.attention.on_gpu import work
from triptych.kernels.attention.spans import Reach, Spans


@dataclass(frozen=True, eq=False)
class Seen:
    """The options of attention by their names there; `lengths` are all keys of each sequence."""

    spans: Spans
    scale: float
    causal: bool
    reach: Reach
    softcap: float | None
    temperature_length: int | None = None

    def constants(self, heads: int, groups: int, *, K: int, V: int) -> dict[str, Any]:
        """What a kernel is compiled for."""
        return {
            "HEADS": heads,
            "GROUP": heads // groups,
            "K": K,
            "V": V,
            "CAUSAL": self.causal,
            "WINDOW": self.reach.window or 0,
            "CHUNK": self.reach.chunk or 0,
            "WHOLE": self.reach.whole_blocks,
            "CAP": self.softcap,
            "SHARP": self.temperature_length and 1 / log2(self.temperature_length),
            "ALIBI": self.reach.alibi.kind if self.reach.alibi else None,
            "BLOCK_K": max(16, triton.next_power_of_2(K)),
            "BLOCK_V": max(16, triton.next_power_of_2(V)),
        }

    @property
    def factor(self) -> float:
        """What kernels multiply products of queries and keys by."""
        return self.scale * log2(e) if self.softcap is None else 2 * log2(e) * self.scale / self.softcap

    def slopes(self, device: torch.device) -> Tensor | None:
        """[H + 1]: of each head, and what their products with distances are multiplied by."""
        alibi = self.reach.alibi
        if alibi is None:
            return None
        return self.spans.once(("slopes", alibi, device), lambda: torch.tensor(_slopes(*alibi), device=device))

    def blocks(self, device: torch.device) -> Tensor | None:
        """[T, 2]: where the block of each new row begins and ends."""
        if not self.spans.blocks:
            return None
        return self.spans.once(("blocks", device), lambda: work.tensor(_blocks(self.spans), device))


def _slopes(heads: int, kind: str, scale: float) -> list[float]:
    if kind == "scaled":
        return [*torch.tensor(slopes(heads)).bfloat16().tolist(), scale * log2(e)]
    return [*(-slope * log2(e) for slope in slopes(heads)), 1.0]


def _blocks(spans: Spans) -> list[tuple[int, int]]:
    found = [(0, 0)] * spans.bounds[-1]
    for bound, past, blocks in zip(spans.bounds[:-1], spans.past, spans.blocks, strict=True):
        for block in blocks:
            start = bound - past + block.start
            found[start : start + len(block)] = [(block.start, block.stop)] * len(block)
    return found
