"""Rotary positions against transformers' modeling_rope_utils, for every type and every field of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from transformers import LlamaConfig
from transformers.models.phi3.modeling_phi3 import Phi3RotaryEmbedding

from triptych.parts.attention_spec import AttentionSpec
from triptych.parts.cache import Cache
from triptych.parts.cache_layout import Layout
from triptych.parts.rope import Rope, frequencies_of
from triptych.parts.rope_spec import RopeSpec
from triptych.parts.step import Step

HEAD_DIM = 16
MAXIMUM = 64  # positions that the config states
SHORT, LONG = [1.0 + 0.1 * i for i in range(8)], [2.0 + 0.5 * i for i in range(8)]
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LONGROPE = {"rope_type": "longrope", "short_factor": SHORT, "long_factor": LONG}

SCALINGS: dict[str, dict[str, Any]] = {
    "default": {"rope_type": "default"},
    "linear": {"rope_type": "linear", "factor": 2.5},
    "dynamic": {"rope_type": "dynamic", "factor": 2.5},
    "yarn": YARN,
    "yarn below one": YARN | {"factor": 0.5},
    "yarn betas": YARN | {"beta_fast": 4.0, "beta_slow": 2.0},
    "yarn betas of nought": YARN | {"beta_fast": 0, "beta_slow": 0},
    "yarn one beta": YARN | {"beta_fast": 1.0, "beta_slow": 1.0, "truncate": False},
    "yarn not truncated": YARN | {"truncate": False},
    "yarn attention factor": YARN | {"attention_factor": 1.7},
    "yarn attention factor of nought": YARN | {"attention_factor": 0.0},
    "yarn mscale": YARN | {"mscale": 0.7, "mscale_all_dim": 1.3},
    "yarn mscale alone": YARN | {"mscale": 0.7},
    "yarn mscale beside nought": YARN | {"mscale": 0.7, "mscale_all_dim": 0.0},
    "yarn no factor": YARN | {"factor": None},
    "yarn no original": {"rope_type": "yarn", "factor": 4.0},
    "llama3": LLAMA3 | {"original_max_position_embeddings": 32},
    "llama3 other bounds": LLAMA3 | {"low_freq_factor": 2.0, "high_freq_factor": 3.0},
    "llama3 no original": LLAMA3,
    "longrope": LONGROPE | {"original_max_position_embeddings": 32},
    "longrope factor": LONGROPE | {"original_max_position_embeddings": 32, "factor": 3.0},
    "longrope factor below one": LONGROPE | {"original_max_position_embeddings": 32, "factor": 0.5},
    "longrope attention factor": LONGROPE | {"original_max_position_embeddings": 32, "attention_factor": 1.3},
    "longrope no original": LONGROPE,
}
LENGTHS = {"short": 20, "at the original length": 32, "past it": 33, "at the maximum": MAXIMUM, "past the maximum": 100}


def oracle(scaling: dict[str, Any], positions: Tensor, *, fraction: float = 1.0) -> Any:
    """Cosine and sine as transformers has them for one sequence; [T, R]."""
    parameters = scaling | {"rope_theta": 500.0, "partial_rotary_factor": fraction}
    config = LlamaConfig(
        hidden_size=4 * HEAD_DIM,
        num_attention_heads=4,
        max_position_embeddings=MAXIMUM,
        rope_parameters=parameters,
    )
    cos, sin = Phi3RotaryEmbedding(config)(torch.zeros(1), positions[None])
    return cos[0], sin[0]


def tables(scaling: dict[str, Any], step: Step, *, fraction: float = 1.0) -> tuple[Tensor, Tensor]:
    """Ours, read off two pairs of unit channels: what turns (1, 0) is the cosine and the sine."""
    spec = RopeSpec.model_validate({"theta": 500.0, "fraction": fraction, "scaling": scaling, "max_positions": MAXIMUM})
    width = int(HEAD_DIM * fraction)
    x = torch.zeros(len(step.positions), 1, HEAD_DIM)
    x[..., : width // 2] = 1
    y = Rope(spec, head_dim=HEAD_DIM)(x, step)[:, 0]
    return y[:, : width // 2], y[:, width // 2 : width]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("fraction", [1.0, 0.5])
@pytest.mark.parametrize("name", SCALINGS)
def test_every_type_and_field_equals_transformers(name: str, fraction: float, length: str) -> None:
    scaling = dict(SCALINGS[name])
    if fraction != 1.0 and "short_factor" in scaling:
        scaling |= {"short_factor": SHORT[:4], "long_factor": LONG[:4]}
    step = Step.of([LENGTHS[length]])
    cos, sin = oracle(scaling, step.positions, fraction=fraction)
    half = cos.shape[-1] // 2
    found = tables(scaling, step, fraction=fraction)
    torch.testing.assert_close(found[0], cos[:, :half], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[1], sin[:, :half], rtol=1e-5, atol=1e-5)


def test_every_scaling_differs_from_every_other() -> None:
    found = {name: torch.cat(tables(scaling, Step.of([50, 100]))) for name, scaling in SCALINGS.items()}
    same = {"yarn mscale alone", "yarn mscale beside nought", "yarn betas of nought", "yarn no factor"}  # as "yarn"
    distinct = [table for name, table in found.items() if name not in same]
    assert all((a - b).abs().max() > 1e-3 for i, a in enumerate(distinct) for b in distinct[:i])


@pytest.mark.parametrize("name", ["dynamic", "longrope", "yarn"])
def test_sequences_of_one_batch_turn_by_their_own_lengths(name: str) -> None:
    scaling, lengths = SCALINGS[name], [20, 100, 70, 1]
    together = torch.cat(tables(scaling, Step.of(lengths)), -1).split(lengths)
    for rows, length in zip(together, lengths, strict=True):
        torch.testing.assert_close(rows, torch.cat(tables(scaling, Step.of([length])), -1))


@pytest.mark.parametrize("name", ["dynamic", "longrope"])
def test_a_decoding_step_turns_by_the_whole_length(name: str) -> None:
    cache = Cache(Layout.whole({}, pages=2, page=128), dtype=torch.float32)
    cache.step([99, 10])
    step = cache.step([1, 1])
    assert step.positions.tolist() == [99, 10]
    cos, sin = oracle(SCALINGS[name], torch.tensor([99]))
    found = tables(SCALINGS[name], step)
    torch.testing.assert_close(torch.cat((found[0][:1], found[1][:1])), torch.cat((cos[:, :8], sin[:, :8])))


def test_the_length_stated_beside_the_mapping_wins_over_the_one_in_it() -> None:
    fields = {"theta": 500.0, "scaling": YARN, "max_positions": MAXIMUM}
    assert RopeSpec.model_validate(fields).original == 16
    assert RopeSpec.model_validate(fields | {"original_positions": 8}).original == 8


def test_interleaved_turns_neighbours() -> None:
    spec = RopeSpec(theta=500.0, interleaved=True)
    step, x = Step.of([9]), torch.randn(9, 2, HEAD_DIM)
    angles = step.positions[:, None] * frequencies_of(spec, HEAD_DIM, step)[0]
    turned = torch.view_as_complex(x.view(9, 2, -1, 2)) * torch.polar(torch.ones_like(angles), angles)[:, None]
    torch.testing.assert_close(Rope(spec, head_dim=HEAD_DIM)(x, step), torch.view_as_real(turned).flatten(-2))


def test_tables_are_made_once_a_step_for_equal_specs() -> None:
    step, x = Step.of([5]), torch.randn(5, 2, HEAD_DIM)
    for _ in range(2):
        Rope(RopeSpec(theta=500.0, scaling=YARN, max_positions=64), head_dim=HEAD_DIM)(x, step)
    assert len(step.spans.memo) == 1
    Rope(RopeSpec(theta=500.0), head_dim=HEAD_DIM)(x, step)
    assert len(step.spans.memo) == 2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_tables_have_the_dtype_of_the_heads(dtype: torch.dtype) -> None:
    assert Rope(RopeSpec(theta=500.0), head_dim=8)(torch.ones(3, 1, 8, dtype=dtype), Step.of([3])).dtype == dtype


@pytest.mark.parametrize("name", ["su", "longrope"])
def test_old_words_for_the_type_are_known(name: str) -> None:
    old = {"type": name, "short_factor": SHORT, "long_factor": LONG, "factor": None, "rope_theta": 3.0}
    assert RopeSpec(theta=1.0, scaling=old, max_positions=8).scaling.type == "longrope"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scaling": {"rope_type": "yarm", "factor": 2.0}}, "unknown rope type 'yarm'; did you mean 'yarn'?"),
        ({"scaling": {"rope_type": ["yarn"]}}, "unknown rope type .*yarn"),
        ({"scaling": {"rope_type": "linear", "factor": 2.0, "beta_fast": 3}}, "'linear' does not read 'beta_fast'; it"),
        ({"scaling": {"factor": 2.0}}, "rope type 'default' does not read 'factor'; it reads nothing"),
        ({"scaling": {"rope_type": "linear"}}, "factor\n.*Field required"),
        ({"scaling": {"rope_type": "linear", "factor": 0}}, "greater than 0"),
        ({"scaling": {"rope_type": "dynamic", "factor": 2.0}}, "'dynamic' reads max_positions, which is not given"),
        ({"scaling": {"rope_type": "yarn", "factor": 2.0}}, "reads original_max_position_embeddings, which is not"),
        ({"scaling": YARN | {"original_max_position_embeddings": 1}}, "needs an original length of more than 1"),
        ({"scaling": YARN, "theta": 1.0}, "'yarn' needs a theta above 1, not 1.0"),
        ({"scaling": YARN | {"beta_slow": -1}}, "greater than or equal to 0"),
        (
            {"scaling": LLAMA3 | {"low_freq_factor": 5}, "max_positions": 64},
            "4.0 and low_freq_factor 5.0 are the wrong",
        ),
        ({"max_positions": 10**400}, "less than or equal to"),
        ({"theta": float("inf")}, "finite number"),
        ({"fraction": 1.5}, "less than or equal to 1"),
        ({"theta": None}, "valid number"),
    ],
)
def test_what_is_not_understood_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RopeSpec.model_validate({"theta": 500.0} | fields)


@pytest.mark.parametrize(
    ("position", "head_dim", "message"),
    [
        (RopeSpec(theta=500.0), 9, "turns pairs of channels; 1.0 of a head of 9 are 9"),
        (RopeSpec(theta=500.0, fraction=0.3), 10, "turns pairs of channels; 0.3 of a head of 10 are 3"),
        (RopeSpec(theta=500.0, scaling=LONGROPE, max_positions=8), 8, "short_factor has 8 entries for 4 pairs"),
        (RopeSpec(theta=500.0, scaling=SCALINGS["dynamic"], max_positions=8), 2, "more than one pair"),
    ],
)
def test_heads_that_cannot_be_turned_are_refused(position: RopeSpec, head_dim: int, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AttentionSpec(heads=2, kv_heads=2, head_dim=head_dim, position=position)
    with pytest.raises(ValueError, match=message):
        Rope(position, head_dim=head_dim)
