"""A feed-forward mixer of many experts, of which each row goes through a few."""
# T rows, D width, E experts, K of them chosen for a row, F = 2H rows of gate and up

from __future__ import annotations

from torch import Tensor, nn

from triptych.errors import CapabilityError
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
    """The sum over the chosen experts of share * down(act(gate(x)) * up(x)); gate and up are one matrix each.

    Where something balances experts, rows are counted for it, and experts may stand in another order.
    """

    Spec = MoeSpec
    cache_need = None

    def __init__(self, spec: MoeSpec, *, width: int, key: str) -> None:
        super().__init__()
        self.key, self.activation = key, get_activation(spec.activation)
        self.experts = spec.experts
        self._load_E: Tensor | None = None
        self._places_E: Tensor | None = None
        self.router = spec.router.build(width=width, experts=spec.experts)
        self.gate_up = parameter(spec.experts, 2 * spec.hidden, width)
        self.down = parameter(spec.experts, width, spec.hidden)
        self.stacked = {"gate_up": (spec.hidden, spec.hidden), "down": (width,)}  # on disk maybe each by itself

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:  # noqa: ARG002  (every mixer is given the step)
        own = self._parameters
        chosen_TK, shares_TK = self._modules["router"](x_TD)
        if self._places_E is not None and self._load_E is not None:
            chosen_TK = self._places_E[chosen_TK]
            self._load_E += chosen_TK.flatten().bincount(minlength=self.experts)
        return experts(
            x_TD,
            own["gate_up"],
            own["down"],
            chosen_TK=chosen_TK,
            shares_TK=shares_TK.to(x_TD.dtype),
            activation=self.activation,
        )

    def get_expert_weights(self) -> list[Tensor]:
        """The tensors [E, ...] whose first dimension is that of the experts."""
        return [self._parameters["gate_up"], self._parameters["down"]]

    def set_eplb_state(
        self,
        *,
        moe_layer_idx: int,
        expert_load_view: Tensor,
        logical_to_physical_map: Tensor,
        logical_replica_count: Tensor,
    ) -> None:
        """Count rows in this layer's slice of the load [L, E], and look for experts where the map [L, E, 1] says.

        Raises CapabilityError for replicas: each expert is here once.
        """
        replicas = logical_replica_count[moe_layer_idx]
        if replicas.shape != (self.experts,) or int(replicas.max()) > 1:
            raise CapabilityError(f"{self.key}: each of {self.experts} experts is here once, and none has replicas")
        self._load_E, self._places_E = expert_load_view[moe_layer_idx], logical_to_physical_map[moe_layer_idx, :, 0]
