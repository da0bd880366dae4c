"""Mixtures of experts that are balanced over devices while they run."""

# L layers with experts, E logical experts, P physical ones (replicas counted)

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, overload, runtime_checkable

from typing_extensions import TypeIs

from triptych.capabilities.members import declared
from triptych.capabilities.table import CAPABILITIES

if TYPE_CHECKING:
    from torch import Tensor, nn


@runtime_checkable
class MixtureOfExperts(Protocol):
    """A model with routed experts; recognised by its structure, without a flag."""

    expert_weights: Sequence[Iterable[Tensor]]
    """Of each layer, the tensors of its experts, as they are moved: one-byte dtypes as uint8."""
    num_moe_layers: int
    num_expert_groups: int
    num_logical_experts: int
    num_physical_experts: int
    num_local_physical_experts: int
    num_routed_experts: int
    num_shared_experts: int
    num_redundant_experts: int
    moe_layers: Iterable[nn.Module]

    @declared
    def update_physical_experts_metadata(self, num_physical_experts: int, num_local_physical_experts: int) -> None:
        """Take another number of replicas, over all devices and on this one."""
        ...

    def set_eplb_state(
        self, expert_load_view: Tensor, logical_to_physical_map: Tensor, logical_replica_count: Tensor
    ) -> None:
        """Give each layer its slice of the load [L, P], of the map [L, E, replicas] and of the replica counts [L, E].

        Each of `moe_layers` has `get_expert_weights()` and `set_eplb_state(...)`; `expert_weights` is written anew.
        """
        weights = []
        for number, layer in enumerate(self.moe_layers):
            weights.append([_movable(weight) for weight in layer.get_expert_weights()])  # type: ignore[operator]
            layer.set_eplb_state(  # type: ignore[operator]
                moe_layer_idx=number,
                expert_load_view=expert_load_view,
                logical_to_physical_map=logical_to_physical_map,
                logical_replica_count=logical_replica_count,
            )
        self.expert_weights = weights


def _movable(weight: Tensor) -> Tensor:
    """As uint8, in the same memory, where elements have one byte: float8 cannot be sent."""
    return weight.view(weight[:0].byte().dtype) if weight.element_size() == 1 else weight


@overload
def is_mixture_of_experts(model: type[object]) -> TypeIs[type[MixtureOfExperts]]: ...
@overload
def is_mixture_of_experts(model: object) -> TypeIs[MixtureOfExperts]: ...
def is_mixture_of_experts(model: object) -> bool:
    """Whether it has every member, and a layer with experts at all."""
    if CAPABILITIES["is_mixture_of_experts"].state(model) != "verified":
        return False
    return bool(getattr(model, "num_moe_layers", 0) > 0)


def get_mixture_of_experts_model(model: Any) -> MixtureOfExperts | None:
    """An instance that is a mixture of experts, else its language model when that is one, else None."""
    found: object = model
    if not is_mixture_of_experts(found) and hasattr(model, "get_language_model"):
        found = model.get_language_model()
    return found if is_mixture_of_experts(found) else None
