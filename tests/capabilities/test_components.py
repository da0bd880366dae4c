"""Prefixes of components: the longest that a name stands below says of which kind it is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.capabilities.models import Picture, TextModel
from triptych.capabilities import ComponentMap, component_map
from triptych.errors import CapabilityError

MAP = ComponentMap(
    language_model="model",
    projectors=("model.vision.merger", "align"),
    towers=("model.vision.", "model.audio"),
    generators=("talker",),
)
steps = st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=4)
paths = steps.map(".".join)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("model.layers.0.mlp.up.weight", "language_model"),
        ("model", "language_model"),
        ("model.vision.blocks.0.attn.qkv", "tower"),
        ("model.vision.merger.mlp.0", "projector"),
        ("model.vision.merger2.mlp.0", "tower"),
        ("model.visions.blocks.0", "language_model"),
        ("align.weight", "projector"),
        ("talker.head", "generator"),
        ("lm_head", None),
        ("", None),
    ],
)
def test_the_longest_prefix_in_whole_steps_decides(name: str, kind: str | None) -> None:
    assert MAP.find(name) == kind


@given(st.lists(paths, min_size=1, max_size=6, unique=True), paths)
def test_a_name_stands_in_the_longest_prefix_above_it_or_in_none(prefixes: list[str], name: str) -> None:
    language_model, *towers = prefixes
    found = ComponentMap(language_model=language_model, towers=tuple(towers)).locate(name)
    above = [prefix for prefix in prefixes if f"{name}.".startswith(f"{prefix}.")]
    assert found == max(above, key=len, default=None)


def test_the_empty_prefix_is_the_whole_model() -> None:
    found = ComponentMap(language_model="", towers=("vision",))
    assert [found.find(name) for name in ("layers.0", "vision.0", "")] == ["language_model", "tower", "language_model"]


def test_a_model_without_components_is_a_language_model_as_a_whole() -> None:
    assert component_map(TextModel()) == ComponentMap(language_model="")


def test_a_class_may_write_its_own_map() -> None:
    class Own(Picture):
        def get_mm_mapping(self) -> Any:
            return MAP

    assert component_map(Own()) is MAP
    Own.get_mm_mapping = lambda _: {"language_model": "text"}  # type: ignore[method-assign]
    with pytest.raises(CapabilityError, match=r"Own\.get_mm_mapping gives \{'language_model': 'text'\}, not a Compo"):
        component_map(Own())


def test_a_prefix_is_of_one_kind_and_there_is_one_language_model() -> None:
    with pytest.raises(CapabilityError, match=r"'x\.' is a tower and a projector; a component is of one kind"):
        ComponentMap(language_model="text", projectors=("x",), towers=("x.",))
    given_: Any = {"language_model": ["a", "b"], "towers": "vision", "projectors": ["x"]}
    with pytest.raises(CapabilityError) as caught:
        ComponentMap(**given_)
    assert str(caught.value).splitlines() == [
        "language_model: a model has exactly one language model, and its prefix is text, not ['a', 'b']",
        "projectors: a tuple of prefixes is wanted, not ['x']",
        "towers: a tuple of prefixes is wanted, not 'vision'",
    ]
