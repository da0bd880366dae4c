"""Llama with ALiBi in place of rotation, and rows of the head brought to length one: what has no class of its own.

Baichuan 13B (Press et al. 2021, arXiv 2108.12409; the head: Baichuan 2, arXiv 2309.10305), and with the root of the
distance Step-1, *self-referenced* after its makers' description. All else is transformers' Llama.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM


class Unturned(nn.Module):
    """Cosines and sines of no rotation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, _: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        cos = torch.ones(*position_ids.shape, self.width)
        return cos, torch.zeros_like(cos)


class UnitHead(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, F.normalize(self.weight))


class AlibiLlamaForCausalLM(LlamaForCausalLM):
    """`alibi`: linear, root or None (rotation); `unit_head` as above. Both stand in the config."""

    config_class = LlamaConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.alibi = getattr(config, "alibi", None)
        if self.alibi:
            self.model.rotary_emb = Unturned(config.head_dim)
        if getattr(config, "unit_head", False):
            if config.tie_word_embeddings:
                raise ValueError("a head of unit rows is no matrix of embeddings")
            self.lm_head = UnitHead(config.hidden_size, config.vocab_size, bias=False)

    def forward(self, input_ids: Tensor, past_key_values: Any = None, **options: Any) -> Any:
        if self.alibi:
            past = past_key_values.get_seq_length() if past_key_values is not None else 0
            options["attention_mask"] = self.mask(past, past + input_ids.shape[1])
        return super().forward(input_ids=input_ids, past_key_values=past_key_values, **options)

    def mask(self, start: int, stop: int) -> Tensor:
        """[1, H, T, S] to add to the scores of the rows from `start` on."""
        distances = torch.arange(start, stop)[:, None] - torch.arange(stop)
        fall = distances.clamp(min=0).float()
        fall = fall.sqrt() if self.alibi == "root" else fall
        slopes = torch.tensor(halved(self.config.num_attention_heads))[:, None, None]
        return (-slopes * fall).masked_fill(distances < 0, float("-inf"))[None]


def halved(heads: int) -> list[float]:
    """A slope for each head, as the paper's own code makes them: for a power of two, and between two of these."""
    lower = 1
    while 2 * lower <= heads:
        lower *= 2
    found = [(2 ** (-8 / lower)) ** (i + 1) for i in range(lower)]
    return found + [(2 ** (-8 / (2 * lower))) ** (i + 1) for i in range(0, 2 * lower, 2)][: heads - lower]
