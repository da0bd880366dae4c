"""Model classes are built of settings; constructors of older releases are called by the names of their arguments."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from triptych.capabilities.construct import construct, takes_settings
from triptych.errors import CapabilityError
from triptych.settings import MultiModalSettings, Settings

SETTINGS = Settings(config={"hidden_size": 3}, multimodal=MultiModalSettings(limits={"image": 1}))


class Today:
    def __init__(self, *, settings: Settings, prefix: str = "") -> None:
        self.given = (settings, prefix)


class CatchAll:
    def __init__(self, **given: object) -> None:
        self.given = given


class Older:
    def __init__(self, config: Any, multimodal_config: Any = None, quant_config: Any = None, prefix: str = "") -> None:
        self.given = (config, multimodal_config, quant_config, prefix)


class WantsMore:
    def __init__(self, config: Any, cache_config: Any, parallel_config: Any, lora_config: Any = None) -> None:
        raise AssertionError((config, cache_config, parallel_config, lora_config))


def test_a_class_of_today_is_given_settings_and_prefix_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert construct(Today, SETTINGS, prefix="a").given == (SETTINGS, "a")  # type: ignore[attr-defined]
        assert construct(CatchAll, SETTINGS).given == {"settings": SETTINGS}  # type: ignore[attr-defined]


def test_an_older_constructor_is_called_by_matching_names_with_a_deprecation_warning() -> None:
    told = "Older: a constructor of config, multimodal_config, quant_config, prefix is of an older release; today it"
    with pytest.warns(DeprecationWarning, match=told):
        found: Any = construct(Older, SETTINGS, prefix="a.b")
    assert found.given == (SETTINGS.config, SETTINGS.multimodal, None, "a.b")


def test_every_argument_that_settings_do_not_have_is_named() -> None:
    with pytest.raises(CapabilityError) as caught:
        construct(WantsMore, SETTINGS)
    assert [problem.path for problem in caught.value.problems] == [
        "WantsMore.cache_config",
        "WantsMore.parallel_config",
    ]


class Neither:
    def __init__(self, size: int) -> None: ...


def test_what_takes_neither_settings_nor_a_config_is_not_built_of_settings() -> None:
    assert [takes_settings(kind) for kind in (Today, CatchAll, Older, WantsMore, Neither)] == [*[True] * 4, False]
