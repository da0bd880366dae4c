"""Grok-1, *self-referenced* after its makers' release (github.com/xai-org/grok-1) and the names of its HF conversion.

Norms before and after each branch and scores with a softcap are those of transformers' Gemma 2, with plain norms; the
experts are written out: each row's two, by a softmax over all whose logits are bounded, without making them sum to one.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Gemma2Config, Gemma2ForCausalLM
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.models.gemma2.modeling_gemma2 import Gemma2RMSNorm, Gemma2TextScaledWordEmbedding
from transformers.models.llama.modeling_llama import LlamaRMSNorm


class Expert(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.linear, self.linear_v = (nn.Linear(width, hidden, bias=False) for _ in range(2))
        self.linear_1 = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear_1(F.gelu(self.linear(x), approximate="tanh") * self.linear_v(x))
        return y


class Experts(nn.Module):
    def __init__(self, config: Any, hidden: int) -> None:
        super().__init__()
        self.k, self.cap = config.num_experts_per_tok, config.router_logit_softcapping
        self.gate = nn.Linear(config.hidden_size, config.num_experts, bias=False)
        self.experts = nn.ModuleList(Expert(config.hidden_size, hidden) for _ in range(config.num_experts))

    def forward(self, x: Tensor) -> Tensor:
        logits = self.cap * torch.tanh(self.gate(x) / self.cap)
        best = logits.softmax(-1).topk(self.k, -1)
        shares = torch.zeros_like(logits).scatter(-1, best.indices, best.values)
        every = torch.stack([expert(x) for expert in self.experts], -1)
        return (every * shares[..., None, :]).sum(-1)


class GrokForCausalLM(Gemma2ForCausalLM):
    config_class = Gemma2Config

    def __init__(self, config: Any) -> None:
        config.layer_types = ["full_attention"] * config.num_hidden_layers
        super().__init__(config)
        sizes = config.vocab_size, config.hidden_size
        self.model.embed_tokens = Gemma2TextScaledWordEmbedding(*sizes, None, config.embedding_multiplier_scale)
        for layer in self.model.layers:
            layer.mlp, layer.self_attn.scaling = self.branch(config), config.attn_output_multiplier
        for module in list(self.modules()):
            for name, child in module.named_children():
                if isinstance(child, Gemma2RMSNorm):
                    setattr(module, name, LlamaRMSNorm(config.hidden_size, config.rms_norm_eps))
        self.tie_weights()

    def branch(self, config: Any) -> nn.Module:
        return Experts(config, config.intermediate_size)

    def forward(self, *given: Any, **options: Any) -> Any:
        found = self.model(*given, **{key: value for key, value in options.items() if key != "logits_to_keep"})
        logits = self.lm_head(found.last_hidden_state) * self.config.output_multiplier_scale
        if (cap := self.config.final_logit_softcapping) is not None:
            logits = cap * torch.tanh(logits / cap)
        return CausalLMOutputWithPast(logits=logits, past_key_values=found.past_key_values)
