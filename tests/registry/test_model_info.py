"""The record of what a model class can do."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import triptych.capabilities
from tests.capabilities.models import Experts, Picture, Staged, Writer
from triptych.capabilities import SupportsMultiModalPruning, attn_type
from triptych.errors import CapabilityError
from triptych.registry.model_info import ModelInfo

PICTURE = ModelInfo.of(Picture, architecture="PictureForConditionalGeneration")


def test_a_record_says_what_a_class_can_do() -> None:
    assert ModelInfo.of(Writer, architecture="W") == ModelInfo("W", is_text_generation_model=True)
    assert ModelInfo.of(Staged, architecture="S") == ModelInfo("S", supports_pp=True)
    assert replace(PICTURE, architecture="P") == ModelInfo("P", supports_multimodal=True)


def test_pooling_attributes_are_in_the_record() -> None:
    @attn_type("encoder_only")
    class Encoder(Writer):
        default_seq_pooling_type = "MEAN"

    info = ModelInfo.of(Encoder, architecture="E")
    assert (info.attn_type, info.default_seq_pooling_type, info.score_type) == ("encoder_only", "MEAN", "bi-encoder")


def test_pruning_methods_are_empty_if_there_are_none() -> None:
    class Pruning(Picture, SupportsMultiModalPruning):
        def recompute_mrope_positions(self, *given: object) -> object:  # type: ignore[override]
            return given

    class Unflagged(Pruning):
        supports_multimodal_pruning = False  # type: ignore[assignment]

    assert PICTURE.supported_video_pruning_methods == ()
    assert ModelInfo.of(Unflagged, architecture="U").supported_video_pruning_methods == ()
    assert ModelInfo.of(Pruning, architecture="P").supported_video_pruning_methods == ("evs",)


def test_a_class_whose_instances_are_to_hold_experts_counts_as_one_that_does() -> None:
    assert ModelInfo.of(Experts, architecture="M").is_mixture_of_experts
    assert not PICTURE.is_mixture_of_experts


def test_a_record_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        PICTURE.architecture = "Other"  # type: ignore[misc]


def test_every_answer_in_the_record_has_a_predicate_of_its_name() -> None:
    asked = [field.name for field in fields(ModelInfo) if field.type == "bool"]
    assert len(asked) > 20
    assert [name for name in asked if not callable(getattr(triptych.capabilities, name, None))] == []


@given(
    st.builds(
        ModelInfo,
        architecture=st.text(),
        supports_pp=st.booleans(),
        attn_type=st.sampled_from(["decoder", "hybrid"]),
        supported_video_pruning_methods=st.lists(st.text(), max_size=3).map(tuple),
    )
)
def test_reading_it_back_gives_equal_types(info: ModelInfo) -> None:
    again = ModelInfo.from_json(info.to_json())
    assert again == info
    assert type(again.supported_video_pruning_methods) is tuple


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"supports_pp": 1, "attn_type": "sideways"}, ["attn_type: ", "supports_pp: "]),
        ({"supports_teleport": True}, ["supports_teleport: "]),
        ({"supported_video_pruning_methods": [1]}, ["supported_video_pruning_methods.0: "]),
    ],
)
def test_a_text_that_is_no_record_is_refused_with_every_fault(changes: dict[str, object], told: list[str]) -> None:
    with pytest.raises(CapabilityError) as raised:
        ModelInfo.from_json(json.dumps({**json.loads(PICTURE.to_json()), **changes}))
    lines = str(raised.value).splitlines()
    assert len(lines) == len(told)
    assert all(line.startswith(start) for line, start in zip(lines, told, strict=True))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"architecture": null}'])
def test_broken_texts_are_refused(text: str) -> None:
    with pytest.raises(CapabilityError):
        ModelInfo.from_json(text)
