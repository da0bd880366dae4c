"""What a model is built with."""

from __future__ import annotations

import pytest

from triptych import MultiModalSettings, OptionError, Settings
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
