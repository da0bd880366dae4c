"""ERNIE 4.5 VL, its language model: the one inside transformers' Ernie4_5_VLMoe, which has no head of its own there.

Its experts are written as those of the whole model are, which is how it was released.
"""

from __future__ import annotations

from transformers import GenerationMixin
from transformers.conversion_mapping import get_checkpoint_conversion_mapping, register_checkpoint_conversion_mapping
from transformers.core_model_loading import WeightConverter
from transformers.models.ernie4_5_vl_moe.configuration_ernie4_5_vl_moe import Ernie4_5_VLMoeTextConfig
from transformers.models.ernie4_5_vl_moe.modeling_ernie4_5_vl_moe import (
    Ernie4_5_VLMoePreTrainedModel,
    Ernie4_5_VLMoeTextModel,
)

from tests.reference.with_head import WithHead


class Ernie4_5_VLMoeForCausalLM(WithHead, Ernie4_5_VLMoePreTrainedModel, GenerationMixin):
    config_class = Ernie4_5_VLMoeTextConfig
    text_model = Ernie4_5_VLMoeTextModel


register_checkpoint_conversion_mapping(
    Ernie4_5_VLMoeForCausalLM.__name__,
    [step for step in get_checkpoint_conversion_mapping("ernie4_5_vl_moe") if isinstance(step, WeightConverter)],
)
