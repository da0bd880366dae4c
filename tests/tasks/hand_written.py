"""A Llama written by hand, of parts and with the names of its checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from triptych.capabilities import IntermediateTensors
from triptych.parts.attention import Attention
from triptych.parts.attention_spec import AttentionSpec
from triptych.parts.embed import Tokens
from triptych.parts.embed_spec import TokensSpec
from triptych.parts.mlp import GatedMlp
from triptych.parts.mlp_spec import GatedMlpSpec
from triptych.parts.norms import RmsNorm
from triptych.parts.norms_spec import RmsNormSpec
from triptych.parts.rope_spec import RopeSpec
from triptych.parts.step import Step
from triptych.settings import Settings
from triptych.weights import (
    AutoWeightsLoader,
    PPMissingLayer,
    WeightsMapper,
    make_empty_intermediate_tensors_factory,
    maybe_prefix,
)


class Layer(nn.Module):
    def __init__(self, *, settings: Settings, prefix: str) -> None:
        super().__init__()
        config = settings.config
        width, heads = config["hidden_size"], config["num_attention_heads"]
        norm = RmsNormSpec(eps=config["rms_norm_eps"])
        attention = AttentionSpec(
            heads=heads,
            kv_heads=config["num_key_value_heads"],
            head_dim=width // heads,
            position=RopeSpec(theta=config["rope_parameters"]["rope_theta"]),
        )
        mlp = GatedMlpSpec(hidden=config["intermediate_size"], activation="silu")
        self.input_layernorm, self.post_attention_layernorm = RmsNorm(norm, width=width), RmsNorm(norm, width=width)
        self.self_attn = Attention(attention, width=width, key=f"{prefix}.self_attn")
        self.mlp = GatedMlp(mlp, width=width, key=f"{prefix}.mlp")

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        x_TD = x_TD + self.self_attn(self.input_layernorm(x_TD), step)
        return x_TD + self.mlp(self.post_attention_layernorm(x_TD), step)


class HandLlama(nn.Module):
    """Its embedding and its head are plain modules of torch, its layers made of parts."""

    mapper = WeightsMapper(
        prefix={"model.": ""},
        substr={".o_proj": ".out", ".down_proj": ".down", "embed_tokens": "embed.tokens"},
        stacked={
            ".q_proj": (".qkv", "q"),
            ".k_proj": (".qkv", "k"),
            ".v_proj": (".qkv", "v"),
            ".gate_proj": (".gate_up", 0),
            ".up_proj": (".gate_up", 1),
        },
    )

    def __init__(self, *, settings: Settings, prefix: str = "") -> None:
        super().__init__()
        config = settings.config
        width, vocab = config["hidden_size"], config["vocab_size"]
        self.embed = Tokens(TokensSpec(vocab=vocab), width=width)
        paths = [maybe_prefix(prefix, f"layers.{number}") for number in range(config["num_hidden_layers"])]
        self.layers = nn.ModuleList(Layer(settings=settings, prefix=path) for path in paths)
        self.norm = RmsNorm(RmsNormSpec(eps=config["rms_norm_eps"]), width=width)
        self.lm_head = nn.Linear(width, vocab, bias=False)

    def embed_input_ids(self, input_ids: Tensor) -> Tensor:
        return self.embed.lookup(input_ids)

    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        *,
        step: Step,
        intermediate_tensors: IntermediateTensors | None = None,  # noqa: ARG002
        inputs_embeds: Tensor | None = None,
    ) -> Tensor:
        if inputs_embeds is None:
            assert input_ids is not None
            inputs_embeds = self.embed_input_ids(input_ids)
        x_TD: Tensor = self.embed(inputs_embeds, positions)
        for layer in self.layers:
            x_TD = layer(x_TD, step)
        normed: Tensor = self.norm(x_TD)
        return normed

    def compute_logits(self, hidden_states: Tensor) -> Tensor:
        logits: Tensor = self.lm_head(hidden_states)
        return logits

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        return AutoWeightsLoader(self).load_weights(weights, mapper=self.mapper)


class StagedLlama(HandLlama):
    """The same, which runs in the stages of a pipeline."""

    supports_pp = True
    make_empty_intermediate_tensors: Callable[[int, torch.dtype, torch.device], IntermediateTensors]

    def __init__(self, *, settings: Settings, prefix: str = "") -> None:
        super().__init__(settings=settings, prefix=prefix)
        self.stage, width = settings.stage, settings.config["hidden_size"]
        here = self.stage.layers(len(self.layers))
        self.layers = nn.ModuleList(x if i in here else PPMissingLayer() for i, x in enumerate(self.layers))
        if not self.stage.is_first:
            self.embed = PPMissingLayer()  # type: ignore[assignment]
        if not self.stage.is_last:
            self.norm, self.lm_head = PPMissingLayer(), PPMissingLayer()  # type: ignore[assignment]
        self.vocab_size = settings.config["vocab_size"]
        self.make_empty_intermediate_tensors = make_empty_intermediate_tensors_factory(["rows"], width)

    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        *,
        step: Step,
        intermediate_tensors: IntermediateTensors | None = None,
        inputs_embeds: Tensor | None = None,
    ) -> Any:
        if intermediate_tensors is not None:
            inputs_embeds = intermediate_tensors["rows"]
        found = super().forward(input_ids, positions, step=step, inputs_embeds=inputs_embeds)
        return found if self.stage.is_last else IntermediateTensors({"rows": found})
