"""A language model with routed experts, as what balances these over devices sees it: each is here, and once."""

# L layers with experts, E experts

from __future__ import annotations

from torch import Tensor

from triptych.assembly.language_model import LanguageModel
from triptych.capabilities.experts import MixtureOfExperts
from triptych.errors import CapabilityError
from triptych.parts.moe import Moe
from triptych.settings import WHOLE, Stage
from triptych.spec.stack import StackPlan


class ExpertsModel(LanguageModel, MixtureOfExperts):
    """`expert_weights` are those of each layer once a state is set; that may put experts in another order."""

    def __init__(self, plan: StackPlan, stage: Stage = WHOLE, *, added: int = 0) -> None:
        super().__init__(plan, stage, added=added)
        layers = [part for part in self.modules() if isinstance(part, Moe)]
        count = max((layer.experts for layer in layers), default=0)
        self.moe_layers, self.num_moe_layers, self.expert_weights = layers, len(layers), list[list[Tensor]]()
        self.num_logical_experts = self.num_physical_experts = self.num_local_physical_experts = count
        self.num_routed_experts, self.num_redundant_experts = count, 0
        self.num_shared_experts = max((layer.shared_experts for layer in layers), default=0)
        self.num_expert_groups = max((layer.groups for layer in layers), default=1)

    def update_physical_experts_metadata(self, num_physical_experts: int, num_local_physical_experts: int) -> None:
        """Raises CapabilityError for any other number than there are: no expert has replicas, or is elsewhere."""
        if (num_physical_experts, num_local_physical_experts) != (self.num_logical_experts,) * 2:
            asked = f"{num_physical_experts} experts, {num_local_physical_experts} of them here"
            raise CapabilityError(f"{asked}; this model has {self.num_logical_experts}, all of them here and once")
