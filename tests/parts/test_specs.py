"""What Specs refuse, and that the ones entry points name describe parts that can be built."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from triptych.parts.attention_spec import AttentionSpec
from triptych.parts.cross_attention_spec import CrossAttentionSpec
from triptych.parts.embed_spec import TokensSpec
from triptych.parts.frame_stack_spec import FrameStackSpec
from triptych.parts.frames_spec import FramesSpec
from triptych.parts.merge_spec import MergeSpec
from triptych.parts.mlp_spec import GatedMlpSpec, MlpSpec
from triptych.parts.norms_spec import GainSpec, LayerNormSpec, RmsNormSpec
from triptych.parts.patches_spec import PatchesSpec
from triptych.parts.projectors_spec import GateStepSpec, LinearStepSpec, MlpStepSpec
from triptych.parts.tables_spec import BucketsSpec, LearnedSpec
from triptych.registry import get_part, part_names
from triptych.spec.base import PartSpec

HEADS = {"heads": 6, "kv_heads": 2, "head_dim": 8}
SPECS: list[PartSpec] = [
    RmsNormSpec(eps=1e-5),
    LayerNormSpec(eps=1e-5),
    GainSpec(),
    AttentionSpec(**HEADS),
    CrossAttentionSpec(**HEADS, source="audio", rows=4),
    FramesSpec(channels=3, positions=4),
    GatedMlpSpec(hidden=4, activation="silu"),
    MlpSpec(hidden=4, activation="gelu"),
    TokensSpec(vocab=9),
    PatchesSpec(size=4),
    LearnedSpec(side=2),
    BucketsSpec(side=2),
    MergeSpec(side=2),
    LinearStepSpec(),
    MlpStepSpec(),
    GateStepSpec(),
    FrameStackSpec(frames=2),
]


@pytest.mark.parametrize(
    ("model", "fields", "message"),
    [
        (AttentionSpec, HEADS | {"kv_heads": 4}, "6 heads cannot share 4 kv_heads evenly"),
        (AttentionSpec, HEADS | {"reach": {"causal": False, "window": 4}}, "a window of 4 rows needs causal attention"),
        (AttentionSpec, HEADS | {"reach": {"causal": False, "chunk": 4}}, "a chunk of 4 rows needs causal attention"),
        (AttentionSpec, HEADS | {"reach": {"window": 0}}, "greater than 0"),
        (AttentionSpec, HEADS | {"head_dim": 2**21}, "less than or equal to 1048576"),
        (AttentionSpec, HEADS | {"heads": 2**15}, "less than or equal to 16384"),
        (PatchesSpec, {"size": 2**13}, "less than or equal to 4096"),
        (AttentionSpec, HEADS | {"heads": None}, "valid integer"),
        (AttentionSpec, HEADS | {"scores": {"softcap": 0.0}}, "greater than 0"),
        (AttentionSpec, HEADS | {"scores": {"scale": float("nan")}}, "finite number"),
        (AttentionSpec, HEADS | {"reach": {"winow": 4}}, "winow"),
        (RmsNormSpec, {}, "eps\n.*Field required"),
        (RmsNormSpec, {"eps": -1.0}, "greater than or equal to 0"),
        (RmsNormSpec, {"eps": 1e-5, "cast": "first"}, "'before' or 'after'"),
        (LayerNormSpec, {"eps": float("inf")}, "finite number"),
        (GatedMlpSpec, {"hidden": 4}, "activation\n.*Field required"),
        (GatedMlpSpec, {"hidden": 4, "activation": "zyx"}, "unknown activation 'zyx'; known: gelu, "),
        (MlpSpec, {"hidden": 2**21, "activation": "gelu"}, "less than or equal to 1048576"),
        (TokensSpec, {"vocab": 2**25}, "less than or equal to 16777216"),
        (LearnedSpec, {"side": 2, "resample": "nearest"}, "'bicubic' or 'bilinear'"),
        (LearnedSpec, {"side": 2, "antialias": True}, "antialias says how to resample, and `resample` is not given"),
        (BucketsSpec, {"side": 2, "prefix": 1}, "prefix"),
        (GainSpec, {"eps": 1e-5}, "eps"),
        (MergeSpec, {"side": 0}, "greater than 0"),
        (MergeSpec, {"side": [1, 65]}, "a side is less than or equal to 64"),
        (MergeSpec, {"side": 2, "inner": "row"}, "'channel' or 'place'"),
        (MlpStepSpec, {"hidden": "inn"}, "'in' or 'out'"),
    ],
)
def test_wrong_fields_are_named(model: type[PartSpec], fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        model.model_validate(fields)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: type(spec).__name__)
def test_specs_hash_by_value_and_load_back_from_what_they_print(spec: PartSpec) -> None:
    assert hash(spec) == hash(spec.model_copy())
    assert type(spec).model_validate(spec.model_dump()) == spec


SIZES: dict[str, dict[str, Any]] = {
    "norm": {"width": 8},
    "mixer": {"width": 8, "key": "layers.0.mix"},
    "position": {"head_dim": 8},
    "embed": {"width": 8},
    "table": {"width": 8},
    "projector": {"width": 8, "out": 6},
}


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: type(spec).__name__)
def test_parts_are_built_on_meta_and_say_which_spec_is_theirs(spec: PartSpec) -> None:
    kinds = {get_part(kind, name).spec: kind for kind in SIZES for name in part_names(kind)}
    part = spec.build(**SIZES[kinds[type(spec)]])
    assert part.Spec is type(spec)
    assert isinstance(part, torch.nn.Module)
    assert all(tensor.is_meta for tensor in [*part.parameters(), *part.buffers()])


def test_a_scale_of_nought_is_a_scale() -> None:
    assert AttentionSpec(**HEADS, scores={"scale": 0.0}).build(width=8, key="").scale == 0.0
    assert AttentionSpec(**HEADS).build(width=8, key="").scale == 8**-0.5
