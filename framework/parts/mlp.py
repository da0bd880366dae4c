"""Feed-forward mixers: every row by itself."""

from __future__ import annotations

from torch import Tensor

from triptych.kernels.gated import gated
from triptych.parts.activations import get_activation
from triptych.parts.mlp_spec import GatedMlpSpec, LinearSpec, MlpSpec
from triptych.parts.parameters import Linear, Part
from triptych.parts.step import Step


class GatedMlp(Part):
    """down(act(gate(x)) * up(x)); gate and up are one matrix, in that order."""

    Spec = GatedMlpSpec
    cache_need = None

    def __init__(self, spec: GatedMlpSpec, *, width: int, key: str) -> None:
        super().__init__()
        self.key, self.activation, self.limit = key, get_activation(spec.activation), spec.limit
        self.gate_scale = spec.gate_scale
        self.gate_up = Linear(width, 2 * spec.hidden, bias=spec.bias, pieces=(spec.hidden, spec.hidden))
        self.down = Linear(spec.hidden, width, bias=spec.bias)

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:  # noqa: ARG002  (every mixer is given the step)
        gate_up = self._modules["gate_up"](x_TD)
        y: Tensor = self._modules["down"](gated(gate_up, self.activation, self.limit, scale=self.gate_scale))
        return y


class Mlp(Part):
    """down(act(up(x)))."""

    Spec = MlpSpec
    cache_need = None

    def __init__(self, spec: MlpSpec, *, width: int, key: str) -> None:
        super().__init__()
        self.key, self.activation = key, get_activation(spec.activation)
        self.up = Linear(width, spec.hidden, bias=spec.bias)
        self.down = Linear(spec.hidden, width, bias=spec.bias)

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:  # noqa: ARG002  (every mixer is given the step)
        y: Tensor = self._modules["down"](self.activation(self._modules["up"](x_TD)))
        return y


class LinearMixer(Linear):
    """x weight^T: all that is left of a branch where a search found that no more is needed."""

    Spec = LinearSpec
    cache_need = None

    def __init__(self, spec: LinearSpec, *, width: int, key: str) -> None:
        super().__init__(width, width, bias=spec.bias)
        self.key = key

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:  # type: ignore[override]  # noqa: ARG002
        return super().forward(x_TD)
