"""Models that were built from a spec, seen by predicates and report."""

from __future__ import annotations

import pytest

from triptych.assembly import assemble
from triptych.assembly.language_model import LanguageModel
from triptych.assembly.multimodal import MultimodalModel
from triptych.capabilities import (
    capability_report,
    get_mixture_of_experts_model,
    is_language_model,
    is_pooling_model,
    is_text_generation_model,
    why_not_run,
)
from triptych.spec.catalog import load_named, sample_config

CLASSES = {"llama": LanguageModel, "llava": MultimodalModel}


@pytest.mark.parametrize("family", CLASSES)
def test_a_built_model_is_a_model_that_writes_text_and_that_the_runner_takes(family: str) -> None:
    tree = load_named(family)[1]
    model = assemble(tree, sample_config(tree)).module
    assert is_text_generation_model(model)
    assert is_language_model(model.get_language_model())
    assert why_not_run(model) == ""
    assert get_mixture_of_experts_model(model) is None


@pytest.mark.parametrize("family", CLASSES)
def test_the_report_on_a_built_model_is_that_on_its_class_and_contradicts_nothing(family: str) -> None:
    tree = load_named(family)[1]
    report = capability_report(assemble(tree, sample_config(tree)).module)
    assert report == capability_report(CLASSES[family])
    assert report.contradictions == ()
    assert report["supports_multimodal_embeddings"] == "verified"
    assert report["supports_multimodal"] == ("verified" if family == "llava" else "absent")
    assert report["supports_pp"] == "verified"
    assert report["is_pooling_model"] == "absent"
    assert report.unflagged == ()


def test_a_model_with_a_pooler_is_a_pooling_model_whatever_its_class() -> None:
    tree = load_named("bert")[1]
    model = assemble(tree, sample_config(tree)).module
    assert capability_report(model)["is_pooling_model"] == "verified"
    assert is_pooling_model(model)
    assert not is_text_generation_model(model)
    tree = load_named("llama")[1]
    model = assemble(tree, sample_config(tree), convert="embed").module
    assert capability_report(model)["is_pooling_model"] == "verified"


def test_the_text_of_a_placeholder_is_that_of_the_spec() -> None:
    tree = load_named("llava")[1]
    model = assemble(tree, sample_config(tree)).module
    assert isinstance(model, MultimodalModel)
    assert [model.get_placeholder_str(modality, 1) for modality in ("image", "audio")] == ["<image>", None]
