"""Ultravox around the reference's Whisper encoder and Llama, written down from its description: a reference of our own.

Rows of the encoder are stacked by eight, noughts filling up the last, and go through an RMS norm, a matrix, a gate
(SiLU of the second half), another matrix, and a second norm: between the matrices, or after the last one.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, WhisperConfig
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.whisper.modeling_whisper import WhisperEncoder

EPS = 1e-6


class Projector(nn.Module):
    """Rows [t, width] of a clip -> [t / factor, out]."""

    def __init__(self, width: int, hidden: int, out: int, *, factor: int, between: bool) -> None:
        super().__init__()
        self.factor = factor
        self.ln_pre = LlamaRMSNorm(width * factor, eps=EPS)
        self.linear_1 = nn.Linear(width * factor, hidden, bias=False)
        self.ln_mid = LlamaRMSNorm(hidden // 2, eps=EPS) if between else nn.Identity()
        self.linear_2 = nn.Linear(hidden // 2, out, bias=False)
        self.ln_post = nn.Identity() if between else LlamaRMSNorm(out, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (0, 0, 0, -len(x) % self.factor)).reshape(-1, self.factor * x.shape[1])
        value, gate = self.linear_1(self.ln_pre(x)).chunk(2, -1)
        found: Tensor = self.ln_post(self.linear_2(self.ln_mid(F.silu(gate) * value)))
        return found


class Ultravox(nn.Module):
    """Ids [1, T] with `placeholder` where rows of the spectrograms [C, F] stand -> logits [1, T, V]."""

    def __init__(self, config: dict[str, Any], *, placeholder: int) -> None:
        super().__init__()
        text, audio = LlamaConfig(**config["text_config"]), WhisperConfig(**config["audio_config"])
        text._attn_implementation = audio._attn_implementation = "eager"
        self.placeholder, self.most = placeholder, 2 * audio.max_source_positions
        self.audio_tower = WhisperEncoder(audio)
        self.multi_modal_projector = Projector(
            audio.d_model,
            config["hidden_size"],
            text.hidden_size,
            factor=config["stack_factor"],
            between=config["projector_ln_mid"],
        )
        self.language_model = LlamaForCausalLM(text)
        self.config = SimpleNamespace(get_text_config=lambda: text, audio_config=audio, stacked=config["stack_factor"])

    def forward(self, ids: Tensor, use_cache: bool = False, **sounds: Tensor) -> Any:
        rows = self.language_model.get_input_embeddings()(ids.masked_fill(ids == self.placeholder, 0))
        heard = [self.multi_modal_projector(self._rows(c)) for s in sounds.values() for c in s.split(self.most, -1)]
        if heard:
            rows[ids == self.placeholder] = torch.cat(heard)
        return self.language_model(inputs_embeds=rows, use_cache=use_cache)

    def _rows(self, clip: Tensor) -> Tensor:
        """Of a clip as long as it is: the encoder takes full ones alone, so it is run by hand."""
        tower = self.audio_tower
        x = F.gelu(tower.conv2(F.gelu(tower.conv1(clip[None])))).transpose(1, 2)
        x = x + tower.embed_positions.weight[: x.shape[1]]
        for layer in tower.layers:
            x = layer(x, None)
        found: Tensor = tower.layer_norm(x)[0]
        return found
