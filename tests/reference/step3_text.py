"""Step-3's language model, *self-referenced*: from its report (arXiv 2507.19427) and the names of its files."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import LlamaConfig

from tests.reference.plain import Plain, Weights, attend, turned


class Step3TextConfig(LlamaConfig):
    model_type = "step3_text"
    norm_expert_weight: bool = False


def attention(c: Any, w: Weights, x: Tensor) -> Tensor:
    """Queries of a normed latent; keys and values of one head for all."""
    latent, K = w.norm("inter_norm.weight", w.linear("q_proj", x, c.share_q_dim)), c.head_dim
    q = w.linear("wq", latent, c.num_attention_heads * K).unflatten(-1, (-1, K))
    k, v = w.linear("k_proj", x, K)[:, :, None], w.linear("v_proj", x, K)[:, :, None]
    q, k = (turned(each, base=c.rope_parameters["rope_theta"], size=K) for each in (q, k))
    return w.linear("o_proj", attend(q, k, v).flatten(2), c.hidden_size)


def mlp(c: Any, w: Weights, x: Tensor, hidden: int) -> Tensor:
    y = F.silu(w.linear("gate_proj", x, hidden)) * w.linear("up_proj", x, hidden)
    return w.linear("down_proj", y, c.hidden_size)


def experts(c: Any, w: Weights, x: Tensor) -> Tensor:
    """All of them for every row, those that are not chosen times nought."""
    E, D, hidden = c.moe_num_experts, c.hidden_size, c.moe_intermediate_size
    shares, chosen = w.linear("gate", x, E).softmax(-1).topk(c.moe_top_k)
    shares = shares / shares.sum(-1, keepdim=True) if c.norm_expert_weight else shares
    every = torch.zeros(*x.shape[:-1], E).scatter(-1, chosen, shares)
    gate, up = torch.einsum("btd,efd->btef", x, w.get("gate_up_proj", E, 2 * hidden, D)).chunk(2, -1)
    return torch.einsum("btef,edf,bte->btd", F.silu(gate) * up, w.get("down_proj", E, D, hidden), every)


class Step3TextForCausalLM(Plain):
    config_class = Step3TextConfig

    def through(self, c: Any, w: Weights, x: Tensor) -> Tensor:
        for number in range(c.num_hidden_layers):
            at = w.under("layers", str(number))
            x = x + attention(c, at.under("self_attn"), at.norm("input_layernorm.weight", x))
            y = at.norm("post_attention_layernorm.weight", x)
            if str(number) in c.moe_layers_enum.split(","):
                x = x + experts(c, at.under("moe"), y) + mlp(c, at.under("share_expert"), y, c.share_expert_dim)
            else:
                x = x + mlp(c, at.under("mlp"), y, c.intermediate_size)
        return w.norm("norm.weight", x)
