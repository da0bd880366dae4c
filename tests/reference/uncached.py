"""What the references here have in common: Llama's pieces from transformers, put together anew, without a cache."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaModel


def generate(model: Any, inputs: Tensor, *, max_new_tokens: int, **_: Any) -> Tensor:
    """The tokens that a model answers greedily, which begins anew for every one."""
    for _each in range(max_new_tokens):
        inputs = torch.cat([inputs, model(inputs, use_cache=False).logits[:, -1:].argmax(-1)], 1)
    return inputs


class UncachedModel(LlamaModel):
    """Layers in the order that `through` says, each given what it attends with."""

    def through(self, x: Tensor, **given: Any) -> Tensor:
        for layer in self.layers:
            x = layer(x, **given)
        return self.norm(x)

    def forward(self, input_ids: Tensor, **_: Any) -> Tensor:
        """Ids [B, T] -> rows [B, T, D] after the norm."""
        x = self.embed_tokens(input_ids)
        positions = torch.arange(x.shape[1])[None]
        mask = torch.full((x.shape[1],) * 2, float("-inf")).triu(1)[None, None]
        return self.through(x, attention_mask=mask, position_embeddings=self.rotary_emb(x, positions))


class Uncached(LlamaForCausalLM):
    """A causal language model that begins anew for every token."""

    body: type[UncachedModel] = UncachedModel

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__(config)
        self.model = self.body(config)
        self.post_init()

    def forward(self, input_ids: Tensor, **_: Any) -> Any:
        from transformers.modeling_outputs import CausalLMOutput

        return CausalLMOutput(logits=self.lm_head(self.model(input_ids)))

    generate = generate


class Nothing(nn.Module):
    """A branch that adds nought."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)
