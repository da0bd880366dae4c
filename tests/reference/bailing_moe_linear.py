"""Ling 2.5, *self-referenced*: DeepSeek-V3 from transformers, lightning attention (arXiv 2401.04658) in most layers.

Each row's state is written out one after the other, as in the paper, fading at the slopes of ALiBi; norms in groups
beside a gate.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM
from transformers.models.bloom.modeling_bloom import _get_alibi_slopes
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3RMSNorm

from tests.reference.plain import recalled, turned
from tests.reference.uncached import generate


class BailingLinearConfig(DeepseekV3Config):
    model_type = "bailing_moe_v2_5"
    layer_group_size: int = 2
    group_norm_size: int = 4
    linear_head_dim: int = 16
    use_qk_norm: bool = True
    use_bias: bool = False


class LinearAttention(nn.Module):
    def __init__(self, config: Any, number: int) -> None:
        super().__init__()
        self.heads, self.width, self.config = config.num_attention_heads, config.linear_head_dim, config
        inner, self.eps = self.heads * self.width, config.rms_norm_eps
        self.query_key_value = nn.Linear(config.hidden_size, 3 * inner, bias=config.attention_bias)
        self.dense = nn.Linear(inner, config.hidden_size, bias=config.use_bias)
        self.g_proj = nn.Linear(config.hidden_size, inner, bias=False)
        self.g_norm = DeepseekV3RMSNorm(inner)
        if config.use_qk_norm:
            self.query_layernorm, self.key_layernorm = (DeepseekV3RMSNorm(self.width, self.eps) for _ in range(2))
        self.fading = 1 - (number - 1) / (config.num_hidden_layers - 1) + 1e-5

    def forward(self, hidden_states: Tensor, **_: Any) -> tuple[Tensor, None]:
        x, config = hidden_states, self.config
        q, k, v = self.query_key_value(x).view(*x.shape[:2], 3, self.heads, self.width).unbind(2)
        if config.use_qk_norm:
            q, k = self.query_layernorm(q), self.key_layernorm(k)
        base = config.rope_parameters["rope_theta"]
        q, k = (turned(each, base=base, size=self.width // 2) for each in (q, k))
        rate = self.fading * _get_alibi_slopes(self.heads, x.device)
        y = recalled(q * self.width**-0.5, k, v, stays=torch.exp(-rate).expand(1, x.shape[1], -1))
        y = y.flatten(2).unflatten(-1, (config.group_norm_size, -1))
        y = F.rms_norm(y, y.shape[-1:], eps=self.eps).flatten(2) * self.g_norm.weight
        return self.dense(y * self.g_proj(x).sigmoid()), None


class BailingLinearReference(DeepseekV3ForCausalLM):  # type: ignore[misc]
    """A causal language model that begins anew for every token."""

    config_class, generate = BailingLinearConfig, generate

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        count, group = config.num_hidden_layers, config.layer_group_size
        for number, layer in enumerate(self.model.layers):
            if (number + 1) % group and number < count // group * group:
                layer.self_attn = LinearAttention(config, number)
        self.post_init()
