"""What public engines say that models can do, and which inputs they name: the specs here say the same."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from triptych.assembly import assemble
from triptych.capabilities import capability_report
from triptych.spec.catalog import catalog, load_named, sample_config
from triptych.spec.plan import plan

LLAVA = "LlavaForConditionalGeneration"
PIXTRAL = "PixtralForConditionalGeneration"
QWEN2 = "Qwen2VLForConditionalGeneration"
QWEN2_5 = "Qwen2_5_VLForConditionalGeneration"
QWEN3 = "Qwen3VLForConditionalGeneration"
WHISPER = "WhisperForConditionalGeneration"
MINICPM = "MiniCPMV"
GEMMA3 = "Gemma3ForConditionalGeneration"

CLASSES = {
    "supports_multimodal": [LLAVA, PIXTRAL, QWEN2, QWEN2_5, QWEN3, WHISPER, MINICPM, GEMMA3],
    "supports_mrope": [
        QWEN2,
        QWEN2_5,
        QWEN3,
        "Ernie4_5_VLMoeForConditionalGeneration",
        "Glm4vForConditionalGeneration",
    ],
    "supports_transcription": [WHISPER, "VoxtralForConditionalGeneration", "Qwen3OmniMoeForConditionalGeneration"],
    "supports_multimodal_pruning": [QWEN2_5, QWEN3],
    "supports_eagle3": [LLAVA, QWEN2_5],
    "supports_pp": [LLAVA, PIXTRAL, QWEN2, QWEN2_5, QWEN3, MINICPM, GEMMA3],
}

SCHEMAS = {
    (LLAVA, "image"): ["LlavaImagePixelInputs", "LlavaImageEmbeddingInputs"],
    (PIXTRAL, "image"): ["PixtralImagePixelInputs"],
    (QWEN2, "image"): ["Qwen2VLImagePixelInputs", "Qwen2VLImageEmbeddingInputs"],
    (QWEN2, "video"): ["Qwen2VLVideoPixelInputs", "Qwen2VLVideoEmbeddingInputs"],
    (QWEN2_5, "image"): ["Qwen2_5_VLImagePixelInputs", "Qwen2_5_VLImageEmbeddingInputs"],
    (QWEN2_5, "video"): ["Qwen2_5_VLVideoPixelInputs", "Qwen2_5_VLVideoEmbeddingInputs"],
    (MINICPM, "image"): ["MiniCPMVImagePixelInputs", "MiniCPMVImageEmbeddingInputs"],
    (WHISPER, "audio"): ["WhisperAudioInputs"],
    (GEMMA3, "image"): ["Gemma3ImagePixelInputs"],
}


@cache
def spec_of(architecture: str) -> str:
    """The spec that claims an architecture; the test is skipped, with its name, where none does yet."""
    found = [name for name, listed in catalog().items() if architecture in listed.architectures]
    if not found:
        pytest.skip(f"no spec serves {architecture} yet")
    return found[0]


@cache
def built(name: str) -> Any:
    tree = load_named(name)[1]
    return assemble(tree, sample_config(tree), name=name).module


@pytest.mark.parametrize(
    ("capability", "architecture"), [(name, each) for name, classes in CLASSES.items() for each in classes]
)
def test_a_class_that_implements_an_interface_elsewhere_is_proven_to_here(capability: str, architecture: str) -> None:
    assert capability_report(built(spec_of(architecture)))[capability] == "verified"


@pytest.mark.parametrize(("architecture", "modality"), SCHEMAS)
def test_inputs_are_known_by_the_names_that_they_have_elsewhere(architecture: str, modality: str) -> None:
    name = spec_of(architecture)
    tree = load_named(name)[1]
    items = plan(tree, sample_config(tree), name=name).items[modality]
    assert [items.taken.__qualname__, *(each.__qualname__ for each in items.others)] == SCHEMAS[architecture, modality]
