"""Snowflake Arctic, *self-referenced* after its makers' description: Mixtral with an MLP in each layer, of which the
experts see what came into the layer rather than what attention added to it; layers between have an MLP of their own.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from transformers import MixtralConfig, MixtralForCausalLM
from transformers.models.mixtral.modeling_mixtral import MixtralDecoderLayer, MixtralRMSNorm


class Gated(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w1, self.w3 = (nn.Linear(width, hidden, bias=False) for _ in range(2))
        self.w2 = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.w2(F.silu(self.w1(x)) * self.w3(x))
        return y


class ArcticLayer(MixtralDecoderLayer):
    def __init__(self, config: Any, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.routed = (layer_idx + 1) % config.moe_layer_frequency == 0
        self.beside = self.routed and config.use_residual
        if not self.routed:
            self.mlp = Gated(config.hidden_size, config.intermediate_size)
        if self.beside:
            self.residual_layernorm = MixtralRMSNorm(config.hidden_size, config.rms_norm_eps)
            self.dense = Gated(config.hidden_size, config.hidden_size)

    def forward(self, hidden_states: Tensor, **options: Any) -> Tensor:
        came = hidden_states
        x: Tensor = came + self.self_attn(hidden_states=self.input_layernorm(came), **options)[0]
        if not self.beside:
            return x + self.mlp(self.post_attention_layernorm(x))
        return x + self.dense(self.residual_layernorm(x)) + self.mlp(self.post_attention_layernorm(came))


class ArcticReference(MixtralForCausalLM):
    config_class = MixtralConfig

    def __init__(self, config: Any) -> None:
        if config.num_experts_per_tok == 1:
            raise ValueError("of one expert Mixtral's share is one, and Arctic's is what the softmax says")
        super().__init__(config)
        self.model.layers = nn.ModuleList(ArcticLayer(config, i) for i in range(config.num_hidden_layers))
