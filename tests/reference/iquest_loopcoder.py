"""IQuest LoopCoder, *self-referenced*: Llama's pieces, all layers gone through `loop_num` times; after the first time
each head mixes attention to the keys and values of the first with that to its own in `loop_window_size` rows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from tests.reference.uncached import Uncached, UncachedModel


class IQuestLoopCoderConfig(LlamaConfig):
    model_type = "iquestloopcoder"


class HeadGate(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(config.num_attention_heads, config.head_dim))
        self.bias = nn.Parameter(torch.zeros(config.num_attention_heads))


def heads(layer: Any, x: Tensor, turned: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = (
        getattr(layer.self_attn, f"{name}_proj")(x).unflatten(-1, (-1, layer.self_attn.head_dim)).transpose(1, 2)
        for name in "qkv"
    )
    q, k = apply_rotary_pos_emb(q, k, *turned)
    more = q.shape[1] // k.shape[1]
    return q, k.repeat_interleave(more, 1), v.repeat_interleave(more, 1)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    return (q @ k.transpose(2, 3) * q.shape[-1] ** -0.5 + mask).softmax(-1) @ v


class Model(UncachedModel):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.gate_projections = nn.ModuleList(HeadGate(config) for _ in self.layers)

    def through(self, x: Tensor, *, attention_mask: Tensor, position_embeddings: Any) -> Tensor:
        near = torch.full_like(attention_mask, float("-inf")).tril(-self.config.loop_window_size) + attention_mask
        near = torch.where(near.isnan(), float("-inf"), near)
        first = dict[int, tuple[Tensor, Tensor]]()
        for loop in range(self.config.loop_num):
            for number, layer in enumerate(self.layers):
                q, k, v = heads(layer, layer.input_layernorm(x), position_embeddings)
                if loop == 0:
                    first[number] = k, v
                    y = attend(q, k, v, attention_mask)
                else:
                    gate = self.gate_projections[number]
                    share = torch.sigmoid((q * gate.weight[:, None]).sum(-1) + gate.bias[:, None])[..., None]
                    y = share * attend(q, *first[number], attention_mask) + (1 - share) * attend(q, k, v, near)
                x = x + layer.self_attn.o_proj(y.transpose(1, 2).flatten(2))
                x = x + layer.mlp(layer.post_attention_layernorm(x))
        return self.norm(x)


class IQuestLoopCoderForCausalLM(Uncached):
    config_class = IQuestLoopCoderConfig
    body = Model
