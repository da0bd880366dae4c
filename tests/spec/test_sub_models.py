"""A spec made of others: each by its own config, and what the parent says of it."""

from __future__ import annotations

from typing import Any

import pytest

from triptych.errors import SpecError
from triptych.parts.embed_spec import TokensSpec
from triptych.parts.head_spec import HeadSpec
from triptych.spec.catalog import catalog
from triptych.spec.merge import load_tree
from triptych.spec.plan import ModelPlan, plan

LLAVA = load_tree(catalog()["llava"].path)


def planned(
    *overrides: str, text: dict[str, Any] | None = None, vision: dict[str, Any] | None = None, **parent: Any
) -> ModelPlan:
    """LLaVA's own sample with other values."""
    sample = LLAVA["sample"]
    config = {**sample, "text_config": {**sample["text_config"], **(text or {})}}
    config["vision_config"] = {**sample["vision_config"], **(vision or {})}
    return plan(LLAVA, config | parent, overrides=overrides, name="llava")


def head(found: ModelPlan) -> HeadSpec:
    assert found.language_model is not None
    assert isinstance(found.language_model.head, HeadSpec)
    return found.language_model.head


@pytest.mark.parametrize(
    ("parent", "text", "tied"),
    [
        ({}, {}, False),
        ({"tie_word_embeddings": True}, {}, True),
        ({}, {"tie_word_embeddings": True}, True),
        ({}, {"model_type": "gemma2"}, True),  # what its class assumes
        ({"tie_word_embeddings": False}, {"model_type": "gemma2"}, True),
        ({"tie_word_embeddings": True}, {"model_type": "gemma2", "tie_word_embeddings": False}, True),
        ({"tie_word_embeddings": False}, {"model_type": "gemma2", "tie_word_embeddings": False}, False),
    ],
)
def test_the_head_is_tied_when_either_config_says_so(parent: dict[str, Any], text: dict[str, Any], tied: bool) -> None:
    assert head(planned(text=text, **parent)).tied is tied


def test_the_head_is_the_parents_own() -> None:
    assert head(planned(text={"model_type": "gemma2", "final_logit_softcapping": 3.0})).softcap is None
    assert head(planned(text={"model_type": "granite", "logits_scaling": 4.0})).scale == 1.0


@pytest.mark.parametrize(
    "name", ["llava_next", "llava_onevision", "gemma3_mm", "idefics3", "internvl", "internvl_chat", "mistral3"]
)
@pytest.mark.parametrize(
    "text",
    [
        {"model_type": "gemma2", "final_logit_softcapping": 3.0},
        {"model_type": "granite", "logits_scaling": 4.0},
        {"model_type": "cohere", "logit_scale": 0.25},
        {"model_type": "falcon_h1", "lm_head_multiplier": 3.0},
        {"model_type": "minicpm3", "dim_model_base": 16},
    ],
    ids=lambda text: text["model_type"],
)
def test_what_a_text_model_says_of_its_head_is_said_in_vain(name: str, text: dict[str, Any]) -> None:
    tree = load_tree(catalog()[name].path)
    key = "llm_config" if name == "internvl_chat" else "text_config"
    found = head(plan(tree, {**tree["sample"], key: text}, name=name))
    assert (found.scale, found.softcap) == (1.0, None)


@pytest.mark.parametrize(
    ("text", "scales"), [("granite", "all"), ("minicpm", "tokens"), ("minicpm3", "tokens"), ("falcon_h1", "tokens")]
)
def test_rows_of_items_are_scaled_where_the_text_model_scales_whatever_enters_it(text: str, scales: str) -> None:
    found = planned(text={"model_type": text}).language_model
    assert found is not None
    assert isinstance(found.embed, TokensSpec)
    assert found.embed.scales == scales


@pytest.mark.parametrize(
    ("layers", "taken"), [(-2, (2,)), (-1, (3,)), (0, (0,)), (3, (3,)), ([-4, -1], (0, 3)), ([3, 1], (3, 1))]
)
def test_feature_layers_count_from_the_embedding(layers: Any, taken: tuple[int, ...]) -> None:
    assert planned(vision_feature_layer=layers).towers["image"].taken == taken


@pytest.mark.parametrize("layer", [4, -5, [-1, 9]])
def test_a_feature_layer_that_is_not_there_is_refused(layer: Any) -> None:
    number = layer[-1] if isinstance(layer, list) else layer
    with pytest.raises(
        SpecError, match=rf"llava.yaml:\d+:\d+: towers.image.output.layers: rows after layer {number} of 3"
    ):
        planned(vision_feature_layer=layer)


def test_what_a_sub_config_says_in_vain_is_named_by_its_path() -> None:
    with pytest.raises(SpecError) as raised:
        planned(text={"clip_qkv": 8}, vision={"use_rope": True}, layers_between=2)
    found = {problem.path: problem.message for problem in raised.value.problems}
    assert found.keys() == {"language_model.config.clip_qkv", "towers.image.config.use_rope", "config.layers_between"}
    assert "which clip_vision.yaml does not read" in found["towers.image.config.use_rope"]


def test_what_the_parent_calls_inert_is_so_there_alone() -> None:
    assert planned("language_model.inert=[clip_qkv]", text={"clip_qkv": 8})
    with pytest.raises(SpecError, match=r"towers\.image\.config\.clip_qkv"):
        planned("language_model.inert=[clip_qkv]", text={"clip_qkv": 8}, vision={"clip_qkv": 8})


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("towers.image.with.tower=null", "towers.image: `with` takes away the `tower` of 'clip_vision', and nothing"),
        (
            "language_model.with.language_model=null",
            "language_model: `with` takes away the `language_model` of 'llama'",
        ),
    ],
)
def test_what_takes_a_whole_sub_model_away_is_refused(override: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        planned(override)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vision_config": {"model_type": "owlvit"}}, "towers.image: no spec answers for owlvit"),
        (
            {"vision_config": {"hidden_size": 32}},
            "towers.image: this config names neither `architectures` nor `model_type`",
        ),
        ({"vision_config": 3}, "towers.image: a sub-model's config is a mapping, not 3"),
        ({"vision_config": {"model_type": "llama"}}, "the spec 'llama' has no `tower`; it cannot stand here"),
        ({"text_config": {"model_type": "siglip_vision_model"}}, "'siglip_vision' has no `language_model`"),
        (
            {"vision_feature_select_strategy": "cls"},
            "vision_feature_select_strategy: 'cls'`; llava serves 'default' or 'full' only",
        ),
        ({"vision_feature_layer": "last"}, r"towers.image.tower.output.layers.*; found 'last'$"),
    ],
)
def test_a_sub_model_that_cannot_stand_there_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        plan(LLAVA, {**LLAVA["sample"], **changes}, name="llava")


def test_a_parent_may_ask_a_child_of_itself_alone() -> None:
    with pytest.raises(SpecError, match="'towers' has no meaning here"):
        planned("language_model.with.language_model.context==towers.image.image_size")
    found = planned("language_model.with.language_model.context==language_model.max_position_embeddings // 2")
    assert found.language_model is not None
    assert found.language_model.context == 256
