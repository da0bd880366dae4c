"""Keywords for processors: the last word counts, and what is not taken is dropped aloud."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import SiglipImageProcessor

from triptych import OptionError
from triptych.inputs.media import ProcessorKeywordWarning, accepted_kwargs, merge_processor_kwargs
from triptych.inputs.media.keywords import SCOPES

SOURCES = st.fixed_dictionaries(
    {}, optional={scope: st.dictionaries(st.sampled_from("abc"), st.integers()) for scope in SCOPES}
)
KEYWORDS = st.builds(
    lambda flat, scoped: {**flat, **scoped}, st.dictionaries(st.sampled_from("abc"), st.integers()), SOURCES
)


@given(config=KEYWORDS, request=KEYWORDS)
def test_the_last_of_four_words_counts(config: dict[str, Any], request: dict[str, Any]) -> None:
    found = merge_processor_kwargs(config, request)
    assert [*found] == [*SCOPES]
    for scope, keywords in found.items():
        for name in "abc":
            words = [
                config.get(name),
                config.get(scope, {}).get(name),
                request.get(name),
                request.get(scope, {}).get(name),
            ]
            assert keywords.get(name) == next((word for word in reversed(words) if word is not None), None)
        assert {*keywords} <= {*"abc"}


def test_a_requests_keyword_for_all_counts_more_than_the_settings_for_one() -> None:
    found = merge_processor_kwargs({"size": 1, "images": {"size": 2}}, {"size": 3, "audio": {"size": 4}})
    assert found == {"text": {"size": 3}, "images": {"size": 3}, "videos": {"size": 3}, "audio": {"size": 4}}


def test_sources_are_left_as_they_are() -> None:
    config: dict[str, object] = {"a": 1, "images": {"b": 2}}
    merge_processor_kwargs(config, {"images": {"b": 3}})["images"]["c"] = 4
    assert config == {"a": 1, "images": {"b": 2}}


def test_scopes_that_are_none_are_told_at_once() -> None:
    with pytest.raises(OptionError) as caught:
        merge_processor_kwargs({"images": 3, "image": {"size": 1}}, {"videos_kwargs": {}, "size": {"height": 1}})
    assert str(caught.value).splitlines() == [
        "settings.images: a mapping of keywords is wanted, not 3",
        "settings.image: keywords of this kind of input stand under 'images'",
        "request.videos_kwargs: keywords of this kind of input stand under 'videos'",
    ]


def closed(images: object, /, size: int = 1, *, crop: bool = False) -> dict[str, object]:
    return {"images": images, "size": size, "crop": crop}


def anything(images: object, **kwargs: object) -> dict[str, object]:
    return {"images": images, **kwargs}


def test_keywords_that_are_taken_pass_without_a_word() -> None:
    assert accepted_kwargs(closed, {"size": 2, "crop": True}, strict=True) == {"size": 2, "crop": True}
    assert accepted_kwargs(anything, {"what": 2}, strict=True) == {"what": 2}


def test_keywords_that_are_not_taken_are_dropped_with_a_warning() -> None:
    with pytest.warns(ProcessorKeywordWarning) as caught:
        assert accepted_kwargs(closed, {"sise": 3, "crop": True, "images": 1}) == {"crop": True}
    (warning,) = caught
    assert str(warning.message).splitlines() == [
        "sise: closed takes no such keyword; did you mean 'size'?",
        "images: closed takes no such keyword; known: crop, size",
    ]
    assert warning.filename == __file__


def test_strict_refuses_them_all() -> None:
    with pytest.raises(OptionError) as caught:
        accepted_kwargs(closed, {"sise": 3, "crop": True, "mean": 1}, strict=True)
    assert [problem.path for problem in caught.value.problems] == ["sise", "mean"]


def test_a_processor_of_transformers_says_which_keywords_it_takes() -> None:
    processor = SiglipImageProcessor()
    with pytest.warns(
        ProcessorKeywordWarning, match=r"^do_resise: .* takes no such keyword; did you mean 'do_resize'\?$"
    ):
        found = accepted_kwargs(processor, {"do_resise": True, "do_resize": False, "size": {"height": 2, "width": 2}})
    assert found == {"do_resize": False, "size": {"height": 2, "width": 2}}
