"""What a model is built with."""

from __future__ import annotations

import pytest

from triptych import MultiModalSettings, OptionError, Settings, Stage
from triptych.settings import MAX_ITEMS


def test_a_prompt_may_have_999_items_of_a_modality_by_default() -> None:
    assert MAX_ITEMS == 999
    assert Settings(config={}).multimodal.get_limit_per_prompt("image") == MAX_ITEMS


def test_a_limit_is_a_number_or_a_count_with_options_of_dummy_items() -> None:
    settings = MultiModalSettings(limits={"image": 2, "video": {"count": 1, "num_frames": 8}, "audio": {"length": 9}})
    assert [settings.get_limit_per_prompt(m) for m in ("image", "video", "audio")] == [2, 1, MAX_ITEMS]
    assert [settings.get_dummy_options(m) for m in ("image", "video")] == [{}, {"num_frames": 8}]


def test_language_only_sets_every_limit_to_0() -> None:
    settings = MultiModalSettings(language_only=True, limits={"image": 3})
    assert [settings.get_limit_per_prompt(m) for m in ("image", "audio")] == [0, 0]


def test_all_mistakes_of_the_limits_are_told_at_once() -> None:
    with pytest.raises(OptionError) as caught:
        MultiModalSettings(
            limits={"image": {"count": -1, "widht": 3}, "audio": True, "video": {"width": 0}},
            encoder_only=True,
            language_only=True,
        )
    assert str(caught.value).splitlines() == [
        "limits.image.count: a whole number, 0 or more, is wanted, not -1",
        "limits.image.widht: no such option of a limit; did you mean 'width'?",
        "limits.audio.count: a whole number, 0 or more, is wanted, not True",
        "limits.video.width: a whole number, 1 or more, is wanted, not 0",
        "encoder_only and language_only together leave nothing of the model",
    ]


def test_what_is_of_another_type_is_told_field_by_field() -> None:
    with pytest.raises(OptionError) as caught:
        MultiModalSettings(limits=3, embeds="no", processor=None)  # type: ignore[arg-type]
    assert str(caught.value).splitlines() == [
        "limits: a mapping is wanted, not 3",
        "processor: a mapping is wanted, not None",
        "embeds: True or False is wanted, not 'no'",
    ]
    with pytest.raises(OptionError) as caught:
        MultiModalSettings(limits={1: 2, "image": {3: 4}})  # type: ignore[dict-item]
    assert str(caught.value).splitlines() == [
        "limits: a modality is a name, not 1",
        "limits.image.3: no such option of a limit; known: count, height, width",
    ]
    with pytest.raises(OptionError) as caught:
        Settings(config=None, multimodal={"limits": {}}, stage=1)  # type: ignore[arg-type]
    assert str(caught.value).splitlines() == [
        "config: a mapping is wanted, not None",
        "multimodal: MultiModalSettings is wanted, not {'limits': {}}",
        "stage: Stage is wanted, not 1",
    ]


@pytest.mark.parametrize(
    ("rank", "size", "message"),
    [
        ("0", 1, "^rank: a whole number is wanted, not '0'$"),
        (0.5, 1, "^rank: a whole number is wanted, not 0.5$"),
        (2, 2, "^stage 2 of 2: stages count from 0 to 1$"),
    ],
)
def test_a_stage_is_one_of_those_that_there_are(rank: int, size: int, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Stage(rank, size)


def test_a_tower_is_built_unless_all_of_its_modalities_have_the_limit_0() -> None:
    settings = MultiModalSettings(limits={"image": 0, "audio": {"count": 0}, "video": 1})
    assert settings.why_no_tower(["image"]) == "limits.image is 0"
    assert settings.why_no_tower({"image", "audio"}) == "limits.audio and limits.image are 0"
    assert settings.why_no_tower({"image", "video"}) == settings.why_no_tower(["smell"]) == ""
    assert MultiModalSettings(language_only=True).why_no_tower(["video"]) == "language_only is set"


def test_only_encoder_only_leaves_the_language_model_out() -> None:
    assert Settings(config={}, multimodal=MultiModalSettings(encoder_only=True)).why_no_language_model() == (
        "encoder_only is set"
    )
    assert MultiModalSettings(language_only=True, towers_on_first_stage=True).why_no_language_model() == ""


@pytest.mark.parametrize(("first_only", "rank", "why"), [(True, 0, ""), (False, 1, ""), (True, 1, "stage 1 of 2")])
def test_towers_may_run_on_the_first_stage_alone(first_only: bool, rank: int, why: str) -> None:
    media = MultiModalSettings(towers_on_first_stage=first_only)
    found = Settings(config={}, multimodal=media, stage=Stage(rank, 2)).why_no_tower(["image"])
    assert found.endswith(why)
    assert bool(found) == bool(why)
