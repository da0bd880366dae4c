"""Ouro (Zhu et al. 2025, arXiv 2510.25741), *self-referenced*: Llama's pieces with norms after the branches too, all
layers gone through `total_ut_steps` times with the last norm after each; nothing leaves early."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaMLP, LlamaRMSNorm

from tests.reference.uncached import Uncached, UncachedModel


class OuroConfig(LlamaConfig):
    model_type = "ouro"


class Layer(nn.Module):
    def __init__(self, config: Any, number: int) -> None:
        super().__init__()
        self.self_attn, self.mlp = LlamaAttention(config, number), LlamaMLP(config)
        for name in ("input_layernorm", "input_layernorm_2", "post_attention_layernorm", "post_attention_layernorm_2"):
            setattr(self, name, LlamaRMSNorm(config.hidden_size, eps=config.rms_norm_eps))

    def forward(self, x: Tensor, **given: Any) -> Tensor:
        x = x + self.input_layernorm_2(self.self_attn(self.input_layernorm(x), **given)[0])
        return x + self.post_attention_layernorm_2(self.mlp(self.post_attention_layernorm(x)))


class Model(UncachedModel):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.layers = nn.ModuleList(Layer(config, number) for number in range(config.num_hidden_layers))

    def through(self, x: Tensor, **given: Any) -> Tensor:
        for _ in range(self.config.total_ut_steps):
            x = super().through(x, **given)
        return x


class OuroForCausalLM(Uncached):
    config_class = OuroConfig
    body = Model
