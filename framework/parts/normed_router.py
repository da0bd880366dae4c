"""A router that norms its rows, and has a factor of each expert: Gemma 4's (transformers' `Gemma4TextRouter`)."""
# T rows, D width, E experts, K of them chosen for a row

from __future__ import annotations

from torch import Tensor, nn

from triptych.kernels.linear import linear
from triptych.parts.normed_router_spec import NormedRouterSpec
from triptych.parts.parameters import Part, parameter


class NormedRouter(Part):
    """Rows [T, D] -> numbers of experts and their shares, [T, K] each; the largest share first."""

    Spec = NormedRouterSpec

    def __init__(self, spec: NormedRouterSpec, *, width: int, experts: int) -> None:
        super().__init__()
        self.k = spec.k
        self.norm: nn.Module = spec.norm.build(width=width)
        self.gain = parameter(width)
        self.weight = parameter(experts, width)
        self.factors = parameter(experts)

    def forward(self, x_TD: Tensor) -> tuple[Tensor, Tensor]:
        own = self._parameters
        x_TD = self._modules["norm"](x_TD) * own["gain"] * x_TD.shape[-1] ** -0.5
        shares_TE = linear(x_TD, own["weight"]).float().softmax(-1)
        shares_TK, chosen_TK = shares_TE.topk(self.k)
        shares_TK = shares_TK / shares_TK.sum(-1, keepdim=True)
        return chosen_TK, shares_TK * own["factors"][chosen_TK]
