"""MiniMax-Text-01 by its first name: transformers' MiniMax, which turns a part of each head, as the release does.

The rates at which its states fade are worked out, no weights: they stay out of the checkpoint, which is redrawn.
"""

from __future__ import annotations

import torch
from transformers import MiniMaxConfig, MiniMaxForCausalLM
from transformers.models.minimax import modeling_minimax
from transformers.models.minimax_m2.modeling_minimax_m2 import apply_rotary_pos_emb

RATES = {"slope_rate", "query_decay", "key_decay", "diagonal_decay"}
modeling_minimax.apply_rotary_pos_emb = apply_rotary_pos_emb  # the same where a head is turned whole


class MiniMaxText01ForCausalLM(MiniMaxForCausalLM):  # type: ignore[misc]
    def __init__(self, config: MiniMaxConfig) -> None:
        super().__init__(config)
        for module in self.modules():
            if isinstance(module, modeling_minimax.MiniMaxLightningAttention):
                module._non_persistent_buffers_set |= RATES
        if size := getattr(config, "rotary_dim", None):
            base = config.rope_parameters["rope_theta"]
            self.model.rotary_emb.inv_freq = 1 / base ** (torch.arange(0, size, 2).float() / size)
