"""Calls of moe."""
# T rows, D width, H width inside an expert, E experts, K of them chosen for a row

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tests.kernels.call import Call, Draw, Given
from triptych.kernels import activations
from triptych.kernels.moe.inner import Clamped, Gated

SIZES = ("rows", "width", "hidden", "experts", "k")
SILU = Gated(activations.silu)


class MoeCall(Call):
    """Biases are arguments by themselves, so that gradients can be asked of them."""

    def _implementation(self, which: str) -> Callable[..., Any]:
        op = super()._implementation(which)

        def run(*, up_bias: Tensor | None, down_bias: Tensor | None, **given: Any) -> Tensor:
            y: Tensor = op(**given, biases=None if up_bias is None else (up_bias, down_bias))
            return y

        return run


def make(
    draw: Draw,
    *,
    rows: int,
    width: int,
    hidden: int,
    experts: int,
    k: int,
    inner: object = SILU,
    biases: bool = False,
    of_inputs: bool = False,
    choice: str = "any",
    idle: int = 0,
) -> Given:
    """`choice`: of `any` experts, of all but the first and the last (`inside`), of `one`, or sliced out of more."""
    outer = hidden * (2 if isinstance(inner, Gated | Clamped) else 1)
    low, high = (1, experts - 1) if choice == "inside" else (0, experts + idle)
    scores = draw(rows, high - low, dtype=torch.float32)
    chosen = (
        low + scores.argsort(-1)[:, :k] if choice != "one" else torch.full_like(scores[:, :k], 2, dtype=torch.int64)
    )
    x = draw.sliced(rows, width) if choice == "sliced" else draw(rows, width)
    return {
        "x_TD": x,
        "gate_up_EFD": draw.matrices(experts, outer, width),
        "down_EDH": draw.matrices(experts, width, hidden),
        "chosen_TK": chosen,
        "shares_TK": draw(rows, k).abs(),
        "inner": inner,
        "up_bias": draw(experts, outer) if biases else None,
        "down_bias": draw(experts, width) if biases else None,
        "shares_of_inputs": of_inputs,
    }


def one(name: str, *sizes: int, back: bool = False, **options: Any) -> Call:
    """Of rows, width, hidden, experts and k; `back`: with gradients."""
    asked = ("x_TD", "gate_up_EFD", "down_EDH", "shares_TK", *(("up_bias", "down_bias") * options.get("biases", False)))
    given = partial(make, **dict(zip(SIZES, sizes, strict=True)), **options)
    return MoeCall("moe", name, given, asked if back else (), products=True, ahead=True)


CLAMPED = Clamped(1.5, 1.702)  # of which gradients jump, as of a limit: rounding alone makes them differ
INTERPRETED = [
    one("a row", 1, 64, 48, 8, 2),
    one("few rows, idle experts", 7, 40, 24, 5, 3, back=True, idle=2),
    one("experts without rows", 33, 72, 40, 4, 2, back=True, choice="inside"),
    one("all at one", 83, 64, 33, 4, 1, choice="one"),
    one("odd widths, sliced", 29, 65, 31, 6, 3, choice="sliced"),
    one("clamped", 40, 64, 48, 4, 2, inner=CLAMPED, biases=True),
    one("no gate", 40, 33, 70, 3, 2, back=True, inner=activations.relu2, biases=True),
    one("limit", 20, 64, 48, 4, 2, inner=Gated(activations.gelu_tanh, 0.6)),
    one("shares of inputs, idle experts", 24, 40, 24, 5, 2, back=True, of_inputs=True, biases=True, idle=3),
    one("no rows", 0, 64, 48, 8, 2),
]
COMPILED = [
    one("prefill", 8192, 2048, 768, 128, 8),
    one("a row", 1, 2048, 768, 128, 8),
    one("decode", 64, 2048, 768, 128, 8),
    one("gradients", 8192, 2048, 768, 128, 8, back=True),
]
COMPILED_ALL = [
    one("some rows", 512, 2048, 768, 128, 8),
    one("more rows", 1024, 2048, 768, 128, 8),
    one("clamped", 4096, 2880, 2880, 32, 4, inner=CLAMPED, biases=True),
    # Of widths that are no multiple of 16, loads are too narrow to run ahead.
    one("no gate", 83, 1008, 496, 60, 6, inner=activations.relu2),
    one("shares of inputs", 2048, 5120, 8192, 16, 1, of_inputs=True),
    one("gradients of few rows", 64, 2048, 768, 128, 8, back=True, biases=True),
]
