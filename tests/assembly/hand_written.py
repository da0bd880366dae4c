"""A Llama written by hand out of triptych's parts, as a model package has it: `settings`, `prefix`, `step`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from torch import Tensor, nn

from triptych.parts.attention import Attention
from triptych.parts.attention_spec import AttentionSpec
from triptych.parts.embed import Lookup
from triptych.parts.mlp import GatedMlp
from triptych.parts.mlp_spec import GatedMlpSpec
from triptych.parts.norms import RmsNorm
from triptych.parts.norms_spec import RmsNormSpec
from triptych.parts.parameters import Linear
from triptych.parts.rope_spec import RopeSpec
from triptych.parts.step import Step
from triptych.settings import Settings
from triptych.weights import AutoWeightsLoader, WeightsMapper, maybe_prefix

Weights = Iterable[tuple[str, Tensor]]


class Layer(nn.Module):
    def __init__(self, config: Any, prefix: str) -> None:
        super().__init__()
        width, heads = config["hidden_size"], config["num_attention_heads"]
        norm = RmsNormSpec(eps=config["rms_norm_eps"])
        rope = RopeSpec(theta=config["rope_parameters"]["rope_theta"])
        attention = AttentionSpec(
            heads=heads, kv_heads=config["num_key_value_heads"], head_dim=width // heads, position=rope
        )
        mlp = GatedMlpSpec(hidden=config["intermediate_size"], activation=config["hidden_act"])
        self.input_layernorm, self.post_attention_layernorm = RmsNorm(norm, width=width), RmsNorm(norm, width=width)
        self.self_attn = Attention(attention, width=width, key=maybe_prefix(prefix, "self_attn"))
        self.mlp = GatedMlp(mlp, width=width, key=maybe_prefix(prefix, "mlp"))

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        x_TD = x_TD + self.self_attn(self.input_layernorm(x_TD), step)
        return x_TD + self.mlp(self.post_attention_layernorm(x_TD), step)


class Decoder(nn.Module):
    def __init__(self, config: Any, prefix: str) -> None:
        super().__init__()
        width = config["hidden_size"]
        self.embed_tokens = Lookup(config["vocab_size"], width)
        at = [maybe_prefix(prefix, f"layers.{i}") for i in range(config["num_hidden_layers"])]
        self.layers = nn.ModuleList(Layer(config, path) for path in at)
        self.norm = RmsNorm(RmsNormSpec(eps=config["rms_norm_eps"]), width=width)

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        for layer in self.layers:
            x_TD = layer(x_TD, step)
        return self.norm(x_TD)


class TinyForCausalLM(nn.Module):
    """It fuses q, k, v and gate, up as it loads them."""

    mapper: ClassVar = WeightsMapper(
        substr={".o_proj.": ".out.", ".down_proj.": ".down."},
        stacked={
            "q_proj": ("qkv", "q"),
            "k_proj": ("qkv", "k"),
            "v_proj": ("qkv", "v"),
            "gate_proj": ("gate_up", 0),
            "up_proj": ("gate_up", 1),
        },
    )
    context = 128

    def __init__(self, settings: Settings, prefix: str = "") -> None:
        super().__init__()
        config = settings.config
        self.vocab_size: int = config["vocab_size"]
        self.model = Decoder(config, maybe_prefix(prefix, "model"))
        self.lm_head = Linear(config["hidden_size"], self.vocab_size, bias=False)
        if config.get("tie_word_embeddings"):
            self.lm_head.weight = self.model.embed_tokens.weight

    def embed_input_ids(self, input_ids: Tensor) -> Tensor:
        return self.model.embed_tokens(input_ids)

    def forward(
        self, input_ids: Tensor | None, positions: Tensor, *, step: Step, inputs_embeds: Tensor | None = None
    ) -> Tensor:
        del positions  # of the step
        if inputs_embeds is None:
            assert input_ids is not None
            inputs_embeds = self.embed_input_ids(input_ids)
        return self.model(inputs_embeds, step)

    def compute_logits(self, hidden_states: Tensor) -> Tensor:
        return self.lm_head(hidden_states)

    def load_weights(self, weights: Weights) -> set[str]:
        return AutoWeightsLoader(self).load_weights(weights, mapper=self.mapper)


class PlainForCausalLM(TinyForCausalLM):
    """It places its weights itself, by name, as older packages do."""

    def load_weights(self, weights: Weights) -> set[str]:
        own, loaded = dict(self.named_parameters()), set[str]()
        pieces = [(part, name, shard) for name, (part, shard) in self.mapper.stacked.items()]
        for name, tensor in weights:
            for part, old, shard in pieces:
                if old in name:
                    rows = dict(self._modules_with_pieces())[name.rpartition(f".{old}")[0] + f".{part}"]
                    number = {"q": 0, "k": 1, "v": 2}.get(shard, shard)
                    start = sum(rows.pieces[:number])
                    rows.weight.data[start : start + rows.pieces[number]].copy_(tensor)
                    loaded.add(name.replace(old, part))
                    break
            else:
                found = name.replace(".o_proj.", ".out.").replace(".down_proj.", ".down.")
                own[found].data.copy_(tensor)
                loaded.add(found)
        return loaded

    def _modules_with_pieces(self) -> Iterable[tuple[str, Any]]:
        return ((name, module) for name, module in self.named_modules() if isinstance(module, Linear))
