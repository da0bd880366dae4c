"""Quantisation settings among a constructor's arguments, in the model's own names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from torch import nn

from triptych.capabilities import SupportsQuant, supports_quant


@dataclass(frozen=True)
class Settings:
    """Modules that stay as they are, and the pieces of fused ones."""

    kept: tuple[str, ...] = ("model.head",)
    packed: tuple[str, ...] = ()

    def renamed(self, mapper: Any, packed_modules_mapping: Mapping[str, Sequence[str]]) -> Settings:
        kept = self.kept if mapper is None else tuple(map(mapper, self.kept))
        return replace(self, kept=kept, packed=(*self.packed, *packed_modules_mapping))


class Mapper:
    """Of its rules, the renaming ones alone take the prefix off."""

    def get_rename_mapper(self) -> Callable[[str], str]:
        return lambda name: name.removeprefix("model.")


class Plain(nn.Module, SupportsQuant):
    """It spells names as the checkpoint does."""

    def __init__(self, settings: object, prefix: str = "", *, quant: object = None) -> None:  # noqa: ARG002
        super().__init__()


class Renaming(Plain):
    """It spells them otherwise, and fuses."""

    hf_to_triptych_mapper = Mapper()
    packed_modules_mapping: ClassVar[dict[str, list[str]]] = {"qkv": ["q", "k", "v"]}


@pytest.mark.parametrize(
    "build",
    [
        lambda cls, found: cls(found),
        lambda cls, found: cls(SimpleNamespace(quant_config=found), prefix="outer"),
        lambda cls, found: cls(object(), quant=found),
    ],
)
def test_settings_are_found_among_the_constructors_arguments(build: Callable[..., Plain]) -> None:
    assert build(Plain, Settings()).quant_config == Settings()
    assert build(Renaming, Settings()).quant_config == Settings(("head",), ("qkv",))


def test_settings_are_there_before_the_constructor_runs() -> None:
    class Early(Plain):
        def __init__(self, settings: object) -> None:
            self.seen = self.quant_config
            super().__init__(settings)

    assert Early(Settings()).quant_config == Settings()


def test_settings_that_are_given_stay_as_they_were() -> None:
    found = Settings()
    outer, inner = Renaming(found), Renaming(found)
    assert found == Settings()
    assert outer.quant_config == inner.quant_config, "neither is renamed twice"


def test_without_settings_there_are_none() -> None:
    assert Plain(object()).quant_config is None


def test_supports_quant_is_having_the_mixin() -> None:
    assert supports_quant(Renaming)
    assert supports_quant(Plain(None))
    assert not supports_quant(nn.Linear)
