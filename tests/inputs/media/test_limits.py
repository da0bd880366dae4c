"""Limits: how many items of a modality one prompt may have, and what is said of more."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from triptych import InputError, MultiModalSettings
from triptych.inputs.media import MultiModalDataItems, MultiModalDataParser, check_limits, get_allowed_limits
from triptych.settings import MAX_ITEMS

PARSER = MultiModalDataParser(embeds=True)
IMAGE = np.zeros((2, 2, 3), np.uint8)


def images(count: int) -> MultiModalDataItems:
    return PARSER.parse_mm_data({"image": [IMAGE] * count})


def embeds(count: int) -> MultiModalDataItems:
    return PARSER.parse_mm_data({"image": torch.zeros(count, 3, 8)})


@given(count=st.integers(0, 6), limit=st.integers(0, 5), most=st.none() | st.integers(0, 5))
def test_the_lesser_of_setting_and_model_counts(count: int, limit: int, most: int | None) -> None:
    settings = MultiModalSettings(limits={"image": limit})
    allowed = limit if most is None else min(limit, most)
    assert get_allowed_limits(settings, {"image": most}) == {"image": allowed}
    if count <= allowed:
        check_limits(images(count), settings, {"image": most})
        return
    with pytest.raises(
        InputError, match=f"^image: the prompt has {count}, and at most {allowed} are taken; "
    ) as caught:
        check_limits(images(count), settings, {"image": most})
    assert ("raise limits.image" in str(caught.value)) == (most is None or count <= most)


def test_a_prompt_may_have_999_items_where_nothing_is_said() -> None:
    assert get_allowed_limits(MultiModalSettings(), {"image": None, "video": 1}) == {"image": MAX_ITEMS, "video": 1}


def test_every_modality_is_told_and_raising_a_limit_only_where_it_helps() -> None:
    items = PARSER.parse_mm_data({"image": [IMAGE] * 3, "audio": [[0.5], [0.5]], "video": IMAGE[None]})
    settings = MultiModalSettings(limits={"image": {"count": 2, "width": 9}, "audio": 0})
    with pytest.raises(InputError) as caught:
        check_limits(items, settings, {"image": 3, "audio": 1})
    assert str(caught.value).splitlines() == [
        "image: the prompt has 3, and at most 2 are taken; raise limits.image to 3 for all of them",
        "audio: the prompt has 2, and at most 0 are taken; the model takes no more than 1",
        "video: the model takes no such items; known: audio, image",
    ]


def test_a_model_of_language_only_takes_no_items() -> None:
    settings = MultiModalSettings(language_only=True)
    check_limits(images(0), settings, {"image": None})
    with pytest.raises(InputError, match=r"at most 0 are taken with language_only; build the model without it$"):
        check_limits(images(1), settings, {"image": None})


def test_with_limit_0_embeds_that_are_let_in_are_not_counted() -> None:
    settings = MultiModalSettings(limits={"image": 0}, embeds=True)
    check_limits(embeds(2), settings, {"image": None})
    check_limits(embeds(2), MultiModalSettings(language_only=True, embeds=True), {"image": None})
    with pytest.raises(InputError, match=r"^image: the prompt has 1, and at most 0 are taken"):
        check_limits(images(1), settings, {"image": None})


def test_with_another_limit_embeds_are_counted() -> None:
    settings = MultiModalSettings(limits={"image": 1}, embeds=True)
    check_limits(embeds(1), settings, {"image": None})
    with pytest.raises(InputError, match=r"^image: the prompt has 2, and at most 1 are taken; raise limits.image to 2"):
        check_limits(embeds(2), settings, {"image": None})


@pytest.mark.parametrize("limit", [0, 3])
def test_embeds_that_are_not_let_in_are_refused_here_too(limit: int) -> None:
    with pytest.raises(InputError, match=r"^image: is embeds, which the settings do not let in"):
        check_limits(embeds(1), MultiModalSettings(limits={"image": limit}), {"image": None})


def test_embeds_of_a_modality_that_the_model_does_not_take_are_refused() -> None:
    with pytest.raises(InputError, match=r"^image: the model takes no such items; known: audio$"):
        check_limits(embeds(1), MultiModalSettings(limits={"image": 0}, embeds=True), {"audio": None})
