"""A head on a text model that stands in transformers only inside another one, without a class of its own."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers.modeling_outputs import CausalLMOutputWithPast


class WithHead:
    """Stands before the family's own base and GenerationMixin; `text_model` is the class of the model inside."""

    text_model: Any
    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012  (as its base has it)

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.model = self.text_model(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, **given: Any) -> CausalLMOutputWithPast:
        given = {key: value for key, value in given.items() if key not in ("labels", "logits_to_keep", "return_dict")}
        found = self.model(input_ids=input_ids, **given)
        return CausalLMOutputWithPast(
            logits=self.lm_head(found.last_hidden_state), past_key_values=found.past_key_values
        )
