"""A feed-forward mixer of many experts, of which each row goes through a few."""
# T rows, D width, E experts, K of them chosen for a row, F = 2H rows of gate and up

from __future__ import annotations

from torch import Tensor, nn

from triptych.kernels.linear import linear
from triptych.kernels.moe import experts
from triptych.parts.activations import get_activation
from triptych.parts.moe_spec import MoeSpec, TopKSpec
from triptych.parts.parameters import Part, parameter
from triptych.parts.step import Step


class TopK(nn.Module):
    """Which experts each row goes to, by a softmax over all of them."""

    Spec = TopKSpec

    def __init__(self, spec: TopKSpec, *, width: int, experts: int) -> None:
        super().__init__()
        self.k, self.normalize = spec.k, spec.normalize
        self.weight = parameter(experts, width)

    def forward(self, x_TD: Tensor) -> tuple[Tensor, Tensor]:
        """Rows [T, D] -> numbers of experts and their shares, [T, K] each, the largest first; shares in float32."""
        logits_TE = linear(x_TD, self.weight)
        shares_TK, chosen_TK = logits_TE.float().softmax(-1).topk(self.k)
        if self.normalize:
            shares_TK = shares_TK / shares_TK.sum(-1, keepdim=True)
        return chosen_TK, shares_TK


class Moe(Part):
    """The sum over the chosen experts of share * down(act(gate(x)) * up(x)); gate and up are one matrix each."""

    Spec = MoeSpec
    cache_need = None

    def __init__(self, spec: MoeSpec, *, width: int, key: str) -> None:
        super().__init__()
        self.key, self.activation = key, get_activation(spec.activation)
        self.router = spec.router.build(width=width, experts=spec.experts)
        self.gate_up = parameter(spec.experts, 2 * spec.hidden, width)
        self.down = parameter(spec.experts, width, spec.hidden)

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:  # noqa: ARG002  (every mixer is given the step)
        own = self._parameters
        chosen_TK, shares_TK = self._modules["router"](x_TD)
        return experts(
            x_TD,
            own["gate_up"],
            own["down"],
            chosen_TK=chosen_TK,
            shares_TK=shares_TK.to(x_TD.dtype),
            activation=self.activation,
        )
