"""Ouro (Zhu et al. 2025, arXiv 2510.25741), *self-referenced*: Llama's pieces with norms after the branches too, all
layers gone through `total_ut_steps` times with the last norm after each. A row is taken of the first time by which it
has left with a chance of `early_exit_threshold`, or of time `early_exit_step`."""

from __future__ import annotations

from typing import Any

import torch
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
        self.early_exit_gate = nn.Linear(config.hidden_size, 1)

    def through(self, x: Tensor, **given: Any) -> Tensor:
        times, gone = [], []
        for _ in range(self.config.total_ut_steps):
            x = super().through(x, **given)
            times.append(x)
            gone.append(self.early_exit_gate(x).sigmoid())
        return self.taken(torch.stack(times), torch.stack(gone))

    def taken(self, x: Tensor, gone: Tensor) -> Tensor:
        """Of rows [N, B, T, D] of all times and their chances to leave then: those that the head sees."""
        if (time := getattr(self.config, "early_exit_step", None)) is not None and time < len(x):
            return x[time]
        stays = torch.cat((torch.ones_like(gone[:1]), (1 - gone).cumprod(0)))
        chances = torch.cat((gone[:-1] * stays[:-2], stays[-2:-1])).cumsum(0)
        has_left = chances >= self.config.early_exit_threshold
        has_left[-1] = True
        return x.take_along_dim(has_left.float().argmax(0)[None], 0)[0]


class OuroForCausalLM(Uncached):
    config_class = OuroConfig
    body = Model
