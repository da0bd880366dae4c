"""ERNIE 4.5 VL, its language model: the one inside transformers' Ernie4_5_VLMoe, which has no head of its own there.

Its experts are written as those of the whole model are, which is how it was released.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import GenerationMixin
from transformers.conversion_mapping import get_checkpoint_conversion_mapping, register_checkpoint_conversion_mapping
from transformers.core_model_loading import WeightConverter
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.models.ernie4_5_vl_moe.configuration_ernie4_5_vl_moe import Ernie4_5_VLMoeTextConfig
from transformers.models.ernie4_5_vl_moe.modeling_ernie4_5_vl_moe import (
    Ernie4_5_VLMoePreTrainedModel,
    Ernie4_5_VLMoeTextModel,
)


class Ernie4_5_VLMoeForCausalLM(Ernie4_5_VLMoePreTrainedModel, GenerationMixin):
    config_class = Ernie4_5_VLMoeTextConfig
    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012  (as its base has it)

    def __init__(self, config: Ernie4_5_VLMoeTextConfig) -> None:
        super().__init__(config)
        self.model = Ernie4_5_VLMoeTextModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, **given: Any) -> CausalLMOutputWithPast:
        given = {key: value for key, value in given.items() if key not in ("labels", "logits_to_keep", "return_dict")}
        found = self.model(input_ids=input_ids, **given)
        return CausalLMOutputWithPast(
            logits=self.lm_head(found.last_hidden_state), past_key_values=found.past_key_values
        )


register_checkpoint_conversion_mapping(
    Ernie4_5_VLMoeForCausalLM.__name__,
    [step for step in get_checkpoint_conversion_mapping("ernie4_5_vl_moe") if isinstance(step, WeightConverter)],
)
