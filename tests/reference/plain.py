"""What references in plain torch share: weights that are made where they are used, and pieces around them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from tests.reference.uncached import generate


class Weights:
    """The weights below a module by their names on disk; one that is not there yet is made of the size asked for."""

    def __init__(self, module: nn.Module, eps: float) -> None:
        self.module, self.eps = module, eps

    def under(self, *path: str) -> Weights:
        module: Any = self.module
        for name in path:
            module = module._modules.setdefault(name, nn.Module())
        return Weights(module, self.eps)

    def get(self, name: str, *size: int, first: float = 1.0) -> Tensor:
        *path, name = name.split(".")
        owner = self.under(*path).module
        if name not in owner._parameters:
            owner.register_parameter(name, nn.Parameter(torch.full(size, first)))
        return owner.get_parameter(name)

    def linear(self, path: str, x: Tensor, width: int) -> Tensor:
        return F.linear(x, self.get(f"{path}.weight", width, x.shape[-1]))

    def norm(self, name: str, x: Tensor, *, offset: float = 0.0) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], self.get(name, x.shape[-1], first=1 - offset) + offset, self.eps)


class Plain(PreTrainedModel):
    """A language model that begins anew for every token; a family says what becomes of the rows of ids."""

    base_model_prefix, generate = "model", generate
    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012  (as its base has it)

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.model, self.lm_head = nn.Module(), nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.model.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self(torch.zeros(1, 1, dtype=torch.int64))  # which makes the weights
        self.post_init()

    def forward(self, input_ids: Tensor, **_: Any) -> CausalLMOutput:
        c, x = self.config, self.model.embed_tokens(input_ids)
        return CausalLMOutput(logits=self.lm_head(self.through(c, Weights(self.model, c.rms_norm_eps), x)))


def turned(x: Tensor, *, base: float, size: int) -> Tensor:
    """Heads [batch, rows, heads, width] by their places; the first `size` turn, each with the one half of them on."""
    angles = torch.arange(x.shape[1])[:, None, None] / base ** (torch.arange(0, size, 2) / size)
    a, b, rest = x.split([size // 2, size // 2, x.shape[-1] - size], -1)
    return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin(), rest], -1)


def attend(q: Tensor, k: Tensor, v: Tensor, *, reach: float = torch.inf) -> Tensor:
    """What heads as above make of their own row and those before it, no more of these than they `reach`."""
    far = torch.arange(q.shape[1])[:, None] - torch.arange(q.shape[1])
    q, k, v = (x.repeat_interleave(q.shape[2] // x.shape[2], 2).transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=(far >= 0) & (far <= reach)).transpose(1, 2)


def recalled(q: Tensor, k: Tensor, v: Tensor, stays: Tensor) -> Tensor:
    """q times the sum of k v^T over the rows so far, of which a share [batch, rows, heads] `stays` at each row."""
    state, found = torch.zeros(()), []
    for t in range(v.shape[1]):
        state = state * stays[:, t, :, None, None] + k[:, t, :, :, None] * v[:, t, :, None]
        found.append((q[:, t, :, :, None] * state).sum(-2))
    return torch.stack(found, 1)
