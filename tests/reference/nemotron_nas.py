"""DeciLM as searched by Puzzle (Bercovich et al. 2024, arXiv 2411.19146), *self-referenced*: Llama's pieces, of which
each layer has those, and in those sizes, that its entry of `block_configs` says."""

from __future__ import annotations

from copy import copy
from typing import Any

from torch import Tensor, nn
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaMLP, LlamaRMSNorm

from tests.reference.uncached import Uncached, UncachedModel


class DeciLMConfig(LlamaConfig):
    model_type = "nemotron-nas"


class LinearAttention(nn.Module):
    """A matrix in place of attention, by the name that it has in files."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.linear_attn = nn.Linear(config.hidden_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor, **_: Any) -> tuple[Tensor]:
        return (self.linear_attn(x),)


class LinearMlp(nn.Module):
    """A matrix in place of an MLP."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.linear_mlp = nn.Linear(config.hidden_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear_mlp(x)
        return y


class Layer(nn.Module):
    def __init__(self, config: Any, number: int) -> None:
        super().__init__()
        block, sizes = config.block_configs[number], copy(config)
        if not block["attention"]["no_op"]:
            self.input_layernorm = LlamaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        if block["attention"].get("replace_with_linear"):
            self.self_attn = LinearAttention(config)
        elif not block["attention"]["no_op"]:
            sizes.num_key_value_heads = config.num_attention_heads // block["attention"]["n_heads_in_group"]
            self.self_attn = LlamaAttention(sizes, number)
        if not block["ffn"]["no_op"]:
            self.post_attention_layernorm = LlamaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        if block["ffn"].get("replace_with_linear"):
            self.mlp = LinearMlp(config)
        elif not block["ffn"]["no_op"]:
            wanted = int(2 * block["ffn"]["ffn_mult"] * config.hidden_size / 3)
            sizes.intermediate_size = wanted if wanted % 256 == 0 else wanted + 256 - wanted % 256
            self.mlp = LlamaMLP(sizes)

    def forward(self, x: Tensor, **given: Any) -> Tensor:
        if hasattr(self, "self_attn"):
            x = x + self.self_attn(self.input_layernorm(x), **given)[0]
        return x + self.mlp(self.post_attention_layernorm(x)) if hasattr(self, "mlp") else x


class Model(UncachedModel):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.layers = nn.ModuleList(Layer(config, number) for number in range(config.num_hidden_layers))


class DeciLMForCausalLM(Uncached):
    config_class = DeciLMConfig
    body = Model
