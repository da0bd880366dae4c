"""A recurrent mixer that somebody else registers: a gated short convolution, and what it gave before, fading."""

# T rows, B sequences, D width, N taps

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from triptych.parts.cache_needs import State
from triptych.parts.parameters import Linear, parameter
from triptych.parts.step import Step
from triptych.registry import part
from triptych.spec.base import PartSpec


@part("mixer", "echo")
class EchoSpec(PartSpec):
    """`taps` rows go into a row, and what is half of it into the next."""

    builds: ClassVar[str | type] = "tests.runner.echo:Echo"
    taps: PositiveInt


class Echo(nn.Module):
    Spec = EchoSpec

    def __init__(self, spec: EchoSpec, *, width: int, key: str) -> None:
        super().__init__()
        self.key, self.cache_need = key, State(((spec.taps - 1, width), (width,)))
        self.taps = parameter(spec.taps, width)
        self.gate, self.out = (Linear(width, width, bias=False) for _ in range(2))

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        last_BND, sums_BD = step.state(self.key, self.cache_need, dtype=x_TD.dtype)
        found, lasts, sums = [], [], []
        for rows_TD, last_ND, before_D in zip(x_TD.split(step.spans.new), last_BND, sums_BD, strict=True):
            seen, sum_D = torch.cat((last_ND, rows_TD)), before_D
            for at in range(len(rows_TD)):
                sum_D = sum_D / 2 + (seen[at : at + len(self.taps)] * self.taps).sum(0)
                found.append(sum_D)
            lasts.append(seen[len(rows_TD) :])
            sums.append(sum_D)
        step.keep(self.key, torch.stack(lasts), torch.stack(sums))
        y_TD: Tensor = self.out(torch.stack(found).tanh() * self.gate(x_TD).sigmoid())
        return y_TD
