"""Grok-2, *self-referenced* after what its makers serve it with (grok.py of SGLang, and its kernels of attention).

Grok-1, with an MLP beside the experts, and scores that are multiplied, once they are bounded and where a row stands
past the position `attn_temperature_len`, by the logarithm of its position to that base.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask
from transformers.models.gemma2.modeling_gemma2 import repeat_kv

from tests.reference.grok import Expert, Experts, GrokForCausalLM


class Beside(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.mlp = Expert(config.hidden_size, config.intermediate_size)
        self.block_sparse_moe = Experts(config, config.moe_intermediate_size)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = (self.mlp(x) + self.block_sparse_moe(x)) / 2**0.5
        return y


class Grok2ForCausalLM(GrokForCausalLM):
    def __init__(self, config: Any) -> None:
        config.attn_output_multiplier = config.head_dim**-0.5
        super().__init__(config)

    def branch(self, config: Any) -> nn.Module:
        return Beside(config)


def attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, **options: Any
) -> tuple[Tensor, Tensor]:
    config, cap, at = module.config, options["softcap"], options["position_ids"][:, None, :, None]
    key, value = (repeat_kv(x, module.num_key_value_groups) for x in (key, value))
    scores = cap * torch.tanh(query @ key.mT * options["scaling"] / cap)
    if (length := config.attn_temperature_len) > 0:
        scores = torch.where(at > length, scores * at.log2() / torch.tensor(float(length)).log2(), scores)
    weights = (scores + attention_mask).softmax(-1)
    return (weights @ value).transpose(1, 2), weights


AttentionInterface.register("grok2", attend)
AttentionMaskInterface.register("grok2", eager_mask)
