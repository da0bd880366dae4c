"""Steps from a tower's rows to a language model's, each (rows, grids) -> (rows, grids). A projector is a few."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from triptych.errors import SpecError
from triptych.kernels.linear import linear
from triptych.parts.activations import get_activation
from triptych.parts.grid import Grid
from triptych.parts.parameters import Linear, parameter
from triptych.parts.projectors_spec import BranchStepSpec, GateStepSpec, LinearStepSpec, MlpStepSpec


class LinearStep(nn.Module):
    """act(weight x + bias); `width` is that of what comes out."""

    Spec = LinearStepSpec

    def __init__(self, spec: LinearStepSpec, *, width: int, out: int) -> None:
        super().__init__()
        self.width = spec.out or out
        self.weight = parameter(self.width, width)
        self.bias = parameter(self.width) if spec.bias else None
        self.activation = get_activation(spec.activation) if spec.activation else None

    def forward(self, x: Tensor, grids: list[Grid]) -> tuple[Tensor, list[Grid]]:
        y = linear(x, self.weight, self.bias)
        return self.activation(y) if self.activation else y, grids


class MlpStep(nn.Module):
    """down(act(up(x))); `width` is that of what comes out."""

    Spec = MlpStepSpec

    def __init__(self, spec: MlpStepSpec, *, width: int, out: int) -> None:
        super().__init__()
        self.width = spec.out or out
        hidden = {"in": width, "out": self.width}[spec.hidden] if isinstance(spec.hidden, str) else spec.hidden
        self.up, self.down = Linear(width, hidden, bias=spec.bias), Linear(hidden, self.width, bias=spec.bias)
        self.activation = get_activation(spec.activation)

    def forward(self, x: Tensor, grids: list[Grid]) -> tuple[Tensor, list[Grid]]:
        return self.down(self.activation(self.up(x))), grids


class BranchStep(nn.Module):
    """x + down(act(up(norm(x)))); the width stays."""

    Spec = BranchStepSpec

    def __init__(self, spec: BranchStepSpec, *, width: int, out: int) -> None:  # noqa: ARG002  (it has no say in the width)
        super().__init__()
        self.width, self.activation = width, get_activation(spec.activation)
        self.norm: nn.Module = spec.norm.build(width=width)
        self.up, self.down = Linear(width, spec.hidden, bias=spec.bias), Linear(spec.hidden, width, bias=spec.bias)

    def forward(self, x: Tensor, grids: list[Grid]) -> tuple[Tensor, list[Grid]]:
        return x + self.down(self.activation(self.up(self.norm(x)))), grids


class GateStep(nn.Module):
    """value * act(gate), of rows [value, gate]; `width` is that of what comes out. With SiLU what is called SwiGLU.

    N. Shazeer 2020, arXiv 2002.05202. Raises SpecError for rows of an odd width.
    """

    Spec = GateStepSpec

    def __init__(self, spec: GateStepSpec, *, width: int, out: int) -> None:  # noqa: ARG002  (it has no say in the width)
        super().__init__()
        if width % 2:
            raise SpecError(f"rows of {width} have no halves, a value and its gate")
        self.width, self.activation = width // 2, get_activation(spec.activation)

    def forward(self, x: Tensor, grids: list[Grid]) -> tuple[Tensor, list[Grid]]:
        value, gate = torch.split(x, self.width, -1)
        return value * self.activation(gate), grids
