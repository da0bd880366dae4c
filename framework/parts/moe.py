"""A feed-forward mixer of many experts, of which each row goes through a few."""
# T rows, D width, E experts, K of them chosen for a row, F = 2H rows of gate and up, or H of up alone

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from triptych.errors import CapabilityError
from triptych.kernels.moe import moe
from triptych.kernels.moe.inner import Clamped, Gated
from triptych.parts.activations import get_activation
from triptych.parts.moe_spec import MoeSpec
from triptych.parts.parameters import Linear, Part, parameter
from triptych.parts.routers_spec import ExpertGroups
from triptych.parts.step import Step


class Moe(Part):
    """The sum over the chosen experts of share * down(act(gate(x)) * up(x)); gate and up are one matrix each.

    Where something balances experts, rows are counted for it, and experts may stand in another order.
    """

    Spec = MoeSpec
    cache_need = None

    def __init__(self, spec: MoeSpec, *, width: int, key: str) -> None:
        super().__init__()
        self.key, self.experts, self.inner = key, spec.experts, _inner(spec)
        self.groups: int = getattr(spec.router, "groups", ExpertGroups()).count
        self.shared_experts = _in_experts(getattr(spec.shared and spec.shared.mixer, "hidden", 0), spec.hidden)
        self.shares_of_inputs = spec.inputs.weighed
        self._load_E: Tensor | None = None
        self._places_E: Tensor | None = None
        self.norm: nn.Module | None = spec.inputs.norm.build(width=width) if spec.inputs.norm else None
        self.router = spec.router.build(width=width, experts=spec.experts + spec.idle)
        halves, inner = (spec.hidden,) * (2 if spec.gated else 1), spec.inputs.width or width
        self.gate_up = parameter(spec.experts, sum(halves), inner)
        self.down = parameter(spec.experts, inner, spec.hidden)
        self.gate_up_bias = parameter(spec.experts, sum(halves)) if spec.bias else None
        self.down_bias = parameter(spec.experts, inner) if spec.bias else None
        # on disk maybe each by itself
        self.stacked = {"gate_up": halves, "down": (inner,), "gate_up_bias": halves, "down_bias": (inner,)}
        self.into_latent = Linear(width, inner, bias=spec.inputs.bias) if spec.inputs.width else None
        self.out_of_latent = Linear(inner, width, bias=spec.inputs.bias) if spec.inputs.width else None
        self.shared = spec.shared.mixer.build(width=width, key=f"{key}.shared") if spec.shared else None
        self.shared_gate = Linear(width, 1, bias=False) if spec.shared and spec.shared.gate else None

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        routed_TD = self._routed(x_TD)
        own = self._modules
        if "shared" not in own:
            return routed_TD
        shared_TD: Tensor = own["shared"](x_TD, step)
        if "shared_gate" in own:
            shared_TD = shared_TD * own["shared_gate"](x_TD).sigmoid()
        return routed_TD + shared_TD

    def _routed(self, x_TD: Tensor) -> Tensor:
        own, parts = self._parameters, self._modules
        chosen_TK, shares_TK = parts["router"](x_TD)
        if self._places_E is not None and self._load_E is not None:
            idle_TK = chosen_TK >= self.experts
            chosen_TK = torch.where(idle_TK, chosen_TK, self._places_E[chosen_TK.masked_fill(idle_TK, 0)])
            self._load_E += chosen_TK[~idle_TK].bincount(minlength=self.experts)
        for name in ("norm", "into_latent"):
            x_TD = parts[name](x_TD) if name in parts else x_TD
        y_TD = moe(
            x_TD,
            own["gate_up"],
            own["down"],
            chosen_TK=chosen_TK,
            shares_TK=shares_TK.to(x_TD.dtype),
            inner=self.inner,
            biases=(own["gate_up_bias"], own["down_bias"]) if "gate_up_bias" in own else None,
            shares_of_inputs=self.shares_of_inputs,
        )
        found_TD: Tensor = parts["out_of_latent"](y_TD) if "out_of_latent" in parts else y_TD
        return found_TD

    def get_expert_weights(self) -> list[Tensor]:
        """The tensors [E, ...] whose first dimension is that of the experts."""
        return [self._parameters[name] for name in self.stacked if name in self._parameters]

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


def _inner(spec: MoeSpec) -> Callable[[Tensor], Tensor]:
    """What stands between the two matrices of an expert: [N, F] -> [N, H]."""
    if spec.clamp.limit and spec.clamp.alpha:
        return Clamped(spec.clamp.limit, spec.clamp.alpha)
    activation = get_activation(spec.activation)
    return Gated(activation, spec.clamp.limit) if spec.gated else activation


def _in_experts(hidden: int, size: int) -> int:
    """How many experts of one size a shared one counts for, where it is there."""
    return max(1, hidden // size) if hidden else 0
