"""Embedding, head, norms and feed-forward parts."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers.models.gemma2.modeling_gemma2 import Gemma2TextScaledWordEmbedding

from tests.parts.drawing import filled
from triptych.parts.embed import Tokens
from triptych.parts.embed_spec import TokensSpec
from triptych.parts.head import Head
from triptych.parts.head_spec import HeadSpec
from triptych.parts.mlp_spec import GatedMlpSpec, MlpSpec
from triptych.parts.norms_spec import LayerNormSpec, RmsNormSpec
from triptych.parts.step import Step

IDS = torch.tensor([3, 0, 8, 3])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_scaled_embedding_equals_gemmas(dtype: torch.dtype) -> None:
    scale = 3584**0.5  # which bfloat16 rounds
    tokens: Tokens = filled(TokensSpec(vocab=9, scale=scale), width=6, dtype=dtype)
    oracle = Gemma2TextScaledWordEmbedding(9, 6, 0, embed_scale=scale).to(dtype)
    oracle.weight = tokens.tokens.weight
    assert tokens.lookup(IDS).equal(oracle(IDS))


def test_learned_positions_are_added_and_the_norm_comes_last() -> None:
    norm = LayerNormSpec(eps=1e-2)
    tokens: Tokens = filled(TokensSpec(vocab=9, positions=5, norm=norm), width=6)
    assert {name for name, _ in tokens.named_parameters()} == {
        "tokens.weight",
        "positions.weight",
        "norm.weight",
        "norm.bias",
    }
    assert tokens.positions is not None
    assert tokens.norm is not None
    rows, positions = tokens.lookup(IDS), torch.tensor([0, 1, 2, 0])
    assert rows.equal(tokens.tokens.weight[IDS])
    plain = rows + tokens.positions.weight[positions]
    torch.testing.assert_close(tokens(rows, positions), tokens.norm(plain))


def test_a_tied_head_reads_the_embedding_that_is_there_now() -> None:
    tokens: Tokens = filled(TokensSpec(vocab=9), width=6)
    head = Head(HeadSpec(tied=True), vocab=9, width=6, embed=tokens)
    assert not list(head.parameters())
    tokens.tokens.weight = nn.Parameter(torch.ones(9, 6), requires_grad=False)
    assert head(torch.ones(2, 6)).equal(torch.full((2, 9), 6.0))


def test_logits_are_biased_scaled_and_capped_in_that_order() -> None:
    head: Head = filled(
        HeadSpec(bias=True, scale=0.5, softcap=2.0), vocab=9, width=6, embed=Tokens(TokensSpec(vocab=9), width=6)
    )
    x = torch.randn(2, 6) * 4
    assert head.weight is not None
    assert head.bias is not None
    torch.testing.assert_close(head(x), 2 * torch.tanh((x @ head.weight.T + head.bias) * 0.5 / 2))


@pytest.mark.parametrize("bias", [True, False])
def test_a_gated_mlp_is_gate_times_up_through_down(bias: bool) -> None:
    part = filled(GatedMlpSpec(hidden=10, activation="relu2", bias=bias), width=6, key="ffn")
    x = torch.randn(3, 6)
    gate, up = part.gate_up(x).chunk(2, -1)
    torch.testing.assert_close(part(x, Step.of([3])), part.down(gate.relu().square() * up))
    assert (part.down.bias is not None) == bias
    assert part.cache_need is None


def test_an_mlp_is_up_activation_down() -> None:
    part = filled(MlpSpec(hidden=10, activation="tanh"), width=6, key="ffn")
    x = torch.randn(3, 6)
    torch.testing.assert_close(part(x, Step.of([3])), part.down(part.up(x).tanh()))


@pytest.mark.parametrize("spec", [RmsNormSpec(eps=1e-2, offset=1, cast="after"), LayerNormSpec(eps=1e-2, bias=False)])
def test_norms_keep_shape_and_dtype(spec: RmsNormSpec | LayerNormSpec) -> None:
    norm = filled(spec, width=6, dtype=torch.bfloat16)
    assert [name for name, _ in norm.named_parameters()] == ["weight"]
    found = norm(torch.ones(3, 2, 6, dtype=torch.bfloat16))
    assert (found.shape, found.dtype) == ((3, 2, 6), torch.bfloat16)
