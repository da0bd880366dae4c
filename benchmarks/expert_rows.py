"""What is timed of experts: one row, a batch that is decoded, a prompt."""

# T rows, D width, F hidden width of an expert, E experts, K of them chosen for a row

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks.kernel_rows import BF16, Given, Row, draw
from triptych.kernels import activations
from triptych.kernels.moe.inner import Gated


def rows() -> Iterator[Row]:
    """Qwen3-30B-A3B's experts."""
    for T, floor in ((1, 0.60), (64, 0.82), (8192, 0.56)):
        D, F, E, K = 2048, 768, 128, 8
        hit = E * (1 - (1 - K / E) ** T)
        yield Row(
            "moe",
            {"T": T, "D": D, "F": F, "E": E, "K": K},
            {"T": 5, "D": 32, "F": 16, "E": 6, "K": 2},
            _given,
            bytes=int(hit * 3 * D * F * BF16) + 2 * T * D * BF16,
            flops=6 * T * K * D * F,
            floor=floor,
            peers={"a loop over experts": _looped},
        )


def _given(*, T: int, D: int, F: int, E: int, K: int) -> Given:
    scores = torch.randn(T, E, device=draw(1).device).softmax(-1)
    shares, chosen = scores.topk(K)
    x = draw(T, D)
    return {
        "x_TD": x,
        "gate_up_EFD": draw(E, 2 * F, D) / D**0.5,
        "down_EDH": draw(E, D, F) / F**0.5,
        "chosen_TK": chosen,
        "shares_TK": shares.to(x.dtype),
        "inner": Gated(activations.silu),
    }


def _looped(
    *, x_TD: Tensor, gate_up_EFD: Tensor, down_EDH: Tensor, chosen_TK: Tensor, shares_TK: Tensor, inner: Any
) -> Tensor:
    y_TD = torch.zeros_like(x_TD)
    for e in range(len(down_EDH)):
        row, k = (chosen_TK == e).nonzero(as_tuple=True)
        found = inner(x_TD[row] @ gate_up_EFD[e].T) @ down_EDH[e].T
        y_TD.index_add_(0, row, found * shares_TK[row, k, None])
    return y_TD
