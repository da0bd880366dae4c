"""A Llama written by hand, its matrices fused, takes the weights of transformers' own and gives the same logits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import rms_norm, scaled_dot_product_attention, silu
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from triptych.errors import WeightMapError
from triptych.settings import Stage
from triptych.weights import (
    AutoWeightsLoader,
    Checkpoint,
    PPMissingLayer,
    WeightsMapper,
    make_layers,
    maybe_prefix,
    plan,
)

# T tokens, W width, H heads, K head width
CONFIG = LlamaConfig(
    vocab_size=31,
    hidden_size=16,
    intermediate_size=12,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    rms_norm_eps=1e-2,
    attn_implementation="eager",
)
WIDTHS = {"q": 16, "k": 8, "v": 8}


class Merged(nn.Linear):
    """Several matrices in one; its shards are placed by the width of each."""

    def __init__(self, width_in: int, widths: dict[str | int, int]) -> None:
        super().__init__(width_in, sum(widths.values()), bias=False)
        self.widths = widths
        self.weight.weight_loader = self.place  # type: ignore[attr-defined]

    def place(self, parameter: nn.Parameter, tensor: Tensor, shard: str | int | None = None) -> None:
        if shard is None:
            parameter.data.copy_(tensor)
            return
        start = sum(self.widths[other] for other in list(self.widths)[: list(self.widths).index(shard)])
        parameter.data[start : start + self.widths[shard]].copy_(tensor)


class Norm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(16))

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, (16,), self.weight, CONFIG.rms_norm_eps)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv_proj = Merged(16, dict(WIDTHS))
        self.o_proj = nn.Linear(16, 16, bias=False)
        self.rotary_emb = LlamaRotaryEmbedding(CONFIG)

    def forward(self, x_TW: Tensor) -> Tensor:
        q, k, v = (
            part.unflatten(-1, (-1, 4)).transpose(0, 1)[None] for part in self.qkv_proj(x_TW).split([16, 8, 8], -1)
        )
        cos, sin = self.rotary_emb(x_TW, torch.arange(len(x_TW))[None])
        q, k = apply_rotary_pos_emb(q, k, cos, sin)
        out = scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.o_proj(out[0].transpose(0, 1).flatten(1))


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate_up_proj = Merged(16, {0: 12, 1: 12})
        self.down_proj = nn.Linear(12, 16, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up_proj(x).chunk(2, -1)
        return self.down_proj(silu(gate) * up)


class Layer(nn.Module):
    def __init__(self, *, prefix: str) -> None:
        super().__init__()
        self.prefix = prefix
        self.input_layernorm, self.post_attention_layernorm = Norm(), Norm()
        self.self_attn, self.mlp = Attention(), Mlp()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x))
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(nn.Module):
    mapper = WeightsMapper(
        stacked={
            ".q_proj": (".qkv_proj", "q"),
            ".k_proj": (".qkv_proj", "k"),
            ".v_proj": (".qkv_proj", "v"),
            ".gate_proj": (".gate_up_proj", 0),
            ".up_proj": (".gate_up_proj", 1),
        }
    )

    def __init__(self, *, stage: Stage, prefix: str) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(31, 16) if stage.rank == 0 else PPMissingLayer()
        self.start, self.end, self.layers = make_layers(3, Layer, maybe_prefix(prefix, "layers"), stage=stage)
        self.norm = Norm() if stage.rank == stage.size - 1 else PPMissingLayer()

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed_tokens(x)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        return AutoWeightsLoader(self).load_weights(weights, mapper=self.mapper)


class Model(nn.Module):
    """As a model class of one's own is written: the decoder loads itself, fused."""

    def __init__(self, *, stage: Stage = Stage()) -> None:  # noqa: B008
        super().__init__()
        self.model = Decoder(stage=stage, prefix="model")
        self.lm_head = nn.Linear(16, 31, bias=False) if stage.rank == stage.size - 1 else PPMissingLayer()

    def forward(self, x: Tensor) -> Tensor:
        return self.lm_head(self.model(x))

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        return AutoWeightsLoader(self).load_weights(weights)


@pytest.fixture(scope="module")
def oracle() -> LlamaForCausalLM:
    torch.manual_seed(0)
    model = LlamaForCausalLM(CONFIG)
    for parameter in model.parameters():
        nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 else 0.0, 0.3)
    return model.eval()


IDS = torch.tensor([3, 1, 4, 1, 5, 9, 2, 6])


def test_the_logits_are_those_of_transformers(oracle: LlamaForCausalLM) -> None:
    model = Model()
    loaded = model.load_weights(oracle.state_dict().items())
    assert loaded == {name for name, _ in model.named_parameters()}
    with torch.no_grad():
        torch.testing.assert_close(model(IDS), oracle(IDS[None]).logits[0], rtol=1e-4, atol=1e-5)


def test_the_order_of_names_makes_no_difference(oracle: LlamaForCausalLM) -> None:
    wanted = Model()
    wanted.load_weights(oracle.state_dict().items())
    weights = oracle.state_dict()
    generator = torch.Generator().manual_seed(1)
    for order in (torch.randperm(len(weights), generator=generator).tolist() for _ in range(3)):
        model = Model()
        model.load_weights([list(weights.items())[i] for i in order])
        assert all(torch.equal(t, model.state_dict()[name]) for name, t in wanted.state_dict().items())


def fused(weights: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """The same checkpoint with its matrices fused already."""
    for name, tensor in weights.items():
        if "q_proj" in name:
            parts = [weights[name.replace("q_proj", f"{s}_proj")] for s in WIDTHS]
            yield name.replace("q_proj", "qkv_proj"), torch.cat(parts)
        elif "gate_proj" in name:
            yield name.replace("gate", "gate_up"), torch.cat([tensor, weights[name.replace("gate", "up")]])
        elif not any(f"{part}_proj" in name for part in ("k", "v", "up")):
            yield name, tensor


def test_fused_names_present_in_the_checkpoint_give_the_same_model(oracle: LlamaForCausalLM) -> None:
    apart, together = Model(), Model()
    apart.load_weights(oracle.state_dict().items())
    together.load_weights(fused(oracle.state_dict()))
    assert all(torch.equal(t, together.state_dict()[name]) for name, t in apart.state_dict().items())


def test_extra_biases_and_rotary_tables_of_old_files_are_passed_over(oracle: LlamaForCausalLM) -> None:
    old = {f"model.layers.{i}.self_attn.rotary_emb.inv_freq": torch.ones(2) for i in range(3)}
    old |= {f"model.layers.{i}.self_attn.o_proj.bias": torch.ones(16) for i in range(3)}
    Model().load_weights([*old.items(), *oracle.state_dict().items()])


def test_stages_load_their_own_layers_and_together_compute_the_whole(oracle: LlamaForCausalLM) -> None:
    stages = [Model(stage=Stage(rank, 3)) for rank in range(3)]
    x: Tensor = IDS
    names: set[str] = set()
    for stage in stages:
        names |= stage.load_weights(oracle.state_dict().items())
        with torch.no_grad():
            x = stage(x)
    assert names == {name for name, _ in Model().named_parameters()}
    with torch.no_grad():
        torch.testing.assert_close(x, oracle(IDS[None]).logits[0], rtol=1e-4, atol=1e-5)


def test_a_tied_head_takes_the_embedding(oracle: LlamaForCausalLM) -> None:
    model = Model()
    model.lm_head.weight = model.model.embed_tokens.weight  # type: ignore[assignment]
    weights = oracle.state_dict()
    assert "lm_head.weight" not in model.load_weights(weights.items())
    assert torch.equal(model.lm_head.weight, weights["model.embed_tokens.weight"])  # type: ignore[arg-type]
    del weights["model.embed_tokens.weight"]
    with pytest.raises(WeightMapError, match=r"lm_head\.weight, which is the same parameter, is there"):
        model.load_weights(weights.items())


def test_the_plan_from_a_header_says_what_would_be_loaded(oracle: LlamaForCausalLM, tmp_path: Path) -> None:
    save_file(
        {name: tensor.contiguous() for name, tensor in oracle.state_dict().items()}, tmp_path / "model.safetensors"
    )
    (tmp_path / "config.json").write_text("{}")
    with torch.device("meta"):
        model = Model()
    found = plan(Checkpoint(tmp_path).tensors, model, Decoder.mapper)
    assert found.findings == ()
    assert found.mapped.keys() == oracle.state_dict().keys()
    targets = {target.name for places in found.mapped.values() for target in places}
    assert targets == {name for name, _ in model.named_parameters()}
