"""Rotary positions of several axes against the reference's rotations of the same kind."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor
from transformers import PixtralVisionConfig
from transformers.models.pixtral.modeling_pixtral import PixtralVisionRotaryEmbedding
from transformers.models.qwen2_vl.configuration_qwen2_vl import Qwen2VLTextConfig, Qwen2VLVisionConfig
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLRotaryEmbedding, Qwen2VLVisionRotaryEmbedding
from transformers.models.qwen3_vl.configuration_qwen3_vl import Qwen3VLTextConfig
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextRotaryEmbedding

from triptych.errors import InputError
from triptych.kernels.attention import Spans
from triptych.parts.attention_spec import AttentionSpec
from triptych.parts.rope import Rope
from triptych.parts.rope_spec import RopeSpec
from triptych.parts.step import Step

HEAD_DIM = 16
GIVEN = {"axes": "cut", "sections": [2, 3, 3]}


def tables(positions: Tensor, **given: object) -> tuple[Tensor, Tensor]:
    """Ours, read off pairs of unit channels: what turns (1, 0) is the cosine and the sine, [T, R/2] each."""
    spec = RopeSpec.model_validate({"theta": 500.0, **given})
    step = Step(Spans.of([len(positions)]), device="cpu", positions=positions)
    x = torch.zeros(len(positions), 1, HEAD_DIM)
    x[..., : HEAD_DIM // 2] = 1
    y = Rope(spec, head_dim=HEAD_DIM)(x, step)[:, 0]
    return y[:, : HEAD_DIM // 2], y[:, HEAD_DIM // 2 :]


def places(count: int, axes: int) -> Tensor:
    return torch.randint(0, 6, (count, axes), generator=torch.Generator().manual_seed(count))


def of_text(sections: list[int], kind: type, config: type) -> tuple[Tensor, Tensor]:
    """The reference's cosine and sine of 9 rows at places of three axes."""
    rope = {"rope_theta": 500.0, "rope_type": "default", "mrope_section": sections}
    made = kind(config(hidden_size=HEAD_DIM, num_attention_heads=1, head_dim=HEAD_DIM, rope_parameters=rope))
    cos, sin = made(torch.zeros(1), places(9, 3).T[:, None])
    return cos[0], sin[0]


def of_patches(kind: type, config: type, *, places_T2: Tensor, **sizes: int) -> tuple[Tensor, Tensor]:
    made = kind(config(rope_parameters={"rope_theta": 500.0, "rope_type": "axial"}, **sizes))
    cos, sin = made(torch.zeros(1), places_T2)
    return cos, sin


@pytest.mark.parametrize("sections", [[2, 3, 3], [4, 2, 2], [6, 1, 1]], ids=str)
def test_cut_and_weave_are_those_of_the_language_models(sections: list[int]) -> None:
    for axes, kind, config in (
        ("cut", Qwen2VLRotaryEmbedding, Qwen2VLTextConfig),
        ("weave", Qwen3VLTextRotaryEmbedding, Qwen3VLTextConfig),
    ):
        for found, wanted in zip(
            tables(places(9, 3), axes=axes, sections=sections), of_text(sections, kind, config), strict=True
        ):
            torch.testing.assert_close(found, wanted[:, : HEAD_DIM // 2], rtol=1e-5, atol=1e-5)


def test_each_is_that_of_a_tower_with_a_ladder_for_each_axis() -> None:
    wanted = of_patches(
        Qwen2VLVisionRotaryEmbedding, Qwen2VLVisionConfig, places_T2=places(9, 2), embed_dim=HEAD_DIM, num_heads=1
    )
    for found, theirs in zip(tables(places(9, 2), axes="each"), wanted, strict=True):
        torch.testing.assert_close(found, theirs[:, : HEAD_DIM // 2], rtol=1e-5, atol=1e-5)


def test_deal_is_that_of_a_tower_with_one_ladder_for_both_axes() -> None:
    kind, sizes = PixtralVisionRotaryEmbedding, {"hidden_size": HEAD_DIM, "num_attention_heads": 1}
    wanted = of_patches(kind, PixtralVisionConfig, places_T2=places(9, 2), **sizes)
    for found, theirs in zip(tables(places(9, 2), axes="deal"), wanted, strict=True):
        torch.testing.assert_close(found, theirs[:, : HEAD_DIM // 2], rtol=1e-5, atol=1e-5)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=6), st.sampled_from(["cut", "weave"]))
def test_rows_whose_axes_are_equal_turn_as_by_one(rows: list[int], axes: str) -> None:
    one = torch.tensor(rows)
    plain = tables(one)
    for positions in (one, one[:, None].expand(-1, 3)):
        for found, wanted in zip(tables(positions, axes=axes, sections=[2, 3, 3]), plain, strict=True):
            torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("given", [{}, {"axes": "each"}, {"axes": "deal"}, GIVEN], ids=str)
def test_places_of_another_number_of_axes_are_refused(given: dict[str, object]) -> None:
    count = {"cut": 3}.get(str(given.get("axes")), 2 if given else 1)
    with pytest.raises(InputError, match=f"rows have places of 4 axes, and rope turns by {count}"):
        tables(places(5, 4), **given)


WRONG: dict[str, tuple[dict[str, object], str]] = {
    "no sections": ({"axes": "cut"}, "`sections` goes with `axes: cut` and `axes: weave`"),
    "no axes": ({"sections": [4, 4]}, "`sections` goes with `axes: cut` and `axes: weave`"),
    "one section": ({"axes": "cut", "sections": [8]}, "at least 2 items"),
    "too few pairs": ({"axes": "weave", "sections": [2, 3, 2]}, r"sections \[2, 3, 2\] are of 7 pairs; there are 8"),
    "an odd half": ({"axes": "each", "fraction": 0.375}, "as many pairs; there are 3"),
    "scaled ladders": ({"axes": "each", "scaling": {"type": "linear", "factor": 2.0}}, "which no scaling is known for"),
}


@pytest.mark.parametrize("name", WRONG)
def test_axes_that_do_not_fit_are_refused(name: str) -> None:
    given, message = WRONG[name]
    with pytest.raises(ValidationError, match=message):
        AttentionSpec(
            heads=1,
            kv_heads=1,
            head_dim=HEAD_DIM,
            position=RopeSpec.model_validate({"theta": 500.0, **given}),
        )
