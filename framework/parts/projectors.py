"""Steps from a tower's rows to a language model's, each (rows, grids) -> (rows, grids). A projector is a few."""

from __future__ import annotations

from torch import Tensor, nn

from triptych.kernels.linear import linear
from triptych.parts.activations import get_activation
from triptych.parts.grid import Grid
from triptych.parts.parameters import Linear, parameter
from triptych.parts.projectors_spec import LinearStepSpec, MlpStepSpec


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
