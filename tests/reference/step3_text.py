"""Step-3's language model, *self-referenced*: from its report (arXiv 2507.19427) and the names of its files."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaMLP, LlamaRMSNorm, apply_rotary_pos_emb

from tests.reference.uncached import Uncached, UncachedModel


class Step3TextConfig(LlamaConfig):
    model_type = "step3_text"
    norm_expert_weight: bool = False


class Attention(nn.Module):
    """Queries of a normed latent; keys and values of one head for all."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.heads, self.width = config.num_attention_heads, config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, config.share_q_dim, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, self.width, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, self.width, bias=False)
        self.inter_norm = LlamaRMSNorm(config.share_q_dim, config.rms_norm_eps)
        self.wq = nn.Linear(config.share_q_dim, self.heads * self.width, bias=False)
        self.o_proj = nn.Linear(self.heads * self.width, config.hidden_size, bias=False)

    def forward(self, x: Tensor, *, attention_mask: Tensor, position_embeddings: tuple[Tensor, Tensor]) -> Tensor:
        q = self.wq(self.inter_norm(self.q_proj(x))).unflatten(-1, (self.heads, self.width)).transpose(1, 2)
        k, v = self.k_proj(x)[:, None], self.v_proj(x)[:, None]
        q, k = apply_rotary_pos_emb(q, k, *position_embeddings)
        weights = (q @ k.transpose(-1, -2) * self.width**-0.5 + attention_mask).softmax(-1)
        y: Tensor = self.o_proj((weights @ v).transpose(1, 2).flatten(2))
        return y


class Experts(nn.Module):
    """All of them for every row, those that are not chosen times nought."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        count, hidden, width = config.moe_num_experts, config.moe_intermediate_size, config.hidden_size
        self.k, self.normalize = config.moe_top_k, config.norm_expert_weight
        self.gate = nn.Linear(width, count, bias=False)
        self.gate_up_proj = nn.Parameter(torch.empty(count, 2 * hidden, width))
        self.down_proj = nn.Parameter(torch.empty(count, width, hidden))

    def forward(self, x: Tensor) -> Tensor:
        shares, chosen = self.gate(x).softmax(-1).topk(self.k)
        shares = shares / shares.sum(-1, keepdim=True) if self.normalize else shares
        every = torch.zeros(*x.shape[:-1], len(self.down_proj)).scatter(-1, chosen, shares)
        gate, up = torch.einsum("btd,efd->btef", x, self.gate_up_proj).chunk(2, -1)
        return torch.einsum("btef,edf,bte->btd", F.silu(gate) * up, self.down_proj, every)


class Layer(nn.Module):
    def __init__(self, config: Any, number: int) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.input_layernorm = LlamaRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = LlamaRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.is_sparse = str(number) in config.moe_layers_enum.split(",")
        if self.is_sparse:
            self.moe = Experts(config)
            shared = LlamaConfig(hidden_size=config.hidden_size, intermediate_size=config.share_expert_dim)
            self.share_expert = LlamaMLP(shared)
        else:
            self.mlp = LlamaMLP(config)

    def forward(self, x: Tensor, **given: Any) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), **given)
        y = self.post_attention_layernorm(x)
        return x + (self.moe(y) + self.share_expert(y) if self.is_sparse else self.mlp(y))


class Model(UncachedModel):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.layers = nn.ModuleList(Layer(config, number) for number in range(config.num_hidden_layers))


class Step3TextForCausalLM(Uncached):
    config_class = Step3TextConfig
    body = Model
