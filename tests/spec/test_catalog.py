"""Which specs there are, and which of them answers for a config."""

from __future__ import annotations

from typing import Any

import pytest

from triptych.errors import SpecError
from triptych.spec.catalog import catalog, find_family, load_named, sample_config
from triptych.spec.document import parse_document


@pytest.mark.parametrize("name", [name for name, spec in catalog().items() if spec.kind != "fragment"])
def test_every_family_answers_for_its_own_sample(name: str) -> None:
    spec = catalog()[name]
    for architecture in spec.architectures:
        assert find_family({"architectures": [architecture]}) == name
    for model_type in spec.model_types:
        assert find_family({"model_type": model_type}) == name


def test_no_two_specs_claim_one_word() -> None:
    for key in ("architectures", "model_types"):
        words = [word for spec in catalog().values() for word in getattr(spec, key)]
        assert len(words) == len(set(words))


def test_kinds_tell_models_from_towers_and_fragments() -> None:
    found = {name: spec.kind for name, spec in catalog().items()}
    assert found["llama"] == found["gemma2"] == "language_model"
    assert found["bert"] == "embedding_model"
    assert found["llava"] == "multimodal"
    assert found["clip_vision"] == "tower"
    assert found["vit"] == "fragment"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "this config names neither `architectures` nor `model_type`"),
        ({"architectures": [], "model_type": None}, "this config names neither"),
        ({"architectures": 5, "model_type": ["x"] * 0}, "this config names neither"),
        ({"architectures": [{"a": 1}]}, "this config names neither"),
        (
            {"architectures": ["LammaForCausalLM"]},
            r"no spec answers for LammaForCausalLM; did you mean 'LlamaForCausalLM'",
        ),
        ({"model_type": "qwen22"}, r"no spec answers for qwen22; did you mean 'qwen2'\?"),
        (
            {"architectures": ["Zyx"], "model_type": "zyx"},
            "no spec answers for Zyx / zyx; known: [A-Z][A-Za-z0-9_]+, ",
        ),
        (
            {"architectures": ["LlamaForVideoClassification"], "model_type": "llama"},  # another head on a known body
            r"no spec answers for LlamaForVideoClassification / llama; llama serves LlamaForCausalLM$",
        ),
    ],
)
def test_a_config_of_no_registered_architecture_is_refused_with_the_nearest_name(
    config: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        find_family(config)


def test_inside_another_config_the_type_counts_beside_the_class() -> None:
    assert find_family({"architectures": ["LlamaModel"], "model_type": "llama"}, inside=True) == "llama"
    assert find_family({"architectures": "Qwen2ForCausalLM", "model_type": "llama"}, inside=True) == "qwen2"


def test_who_changes_a_config_changes_no_spec() -> None:
    config = sample_config(load_named("llava")[1])
    config["text_config"]["hidden_size"] = 4096
    assert sample_config(load_named("llava")[1])["text_config"]["hidden_size"] == 64


def test_a_sample_of_another_form_is_refused() -> None:
    with pytest.raises(SpecError, match=r"f\.yaml:1:9: sample: a mapping is wanted, not 3"):
        sample_config(parse_document("sample: 3", file="f.yaml"))
