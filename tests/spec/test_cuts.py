"""What a spec says of the ways to cut a tower's rows."""

from __future__ import annotations

import re

import pytest

from triptych.errors import SpecError
from triptych.parts.cuts import Windows
from triptych.spec.catalog import load_named, sample_config
from triptych.spec.document import parse_document
from triptych.spec.merge import merge
from triptych.spec.plan import plan
from triptych.spec.stack import StackPlan


def tower(changes: str, base: str = "siglip_vision") -> StackPlan:
    tree = load_named(base)[1]
    changed = merge(tree, parse_document(changes, file="my.yaml"))
    return plan(changed, sample_config(tree), name="my").towers[""]  # type: ignore[arg-type]


WINDOWS = "tower: {cuts: {window: {use: windows, side: =config.patch_size // 7}}}\n"


def test_attention_stays_within_a_cut_that_each_layer_chooses() -> None:
    within = "parts: {attention: {reach: {within: ='window' if layer else 'frame'}}}"
    found = tower(f"{WINDOWS}{within}")
    assert found.cuts == {"window": Windows(side=2)}
    assert [block[0].mixer.reach.within for block in found.layers] == ["frame", "window"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            "parts: {attention: {reach: {within: window}}}",
            "within 'window', which is no cut of these rows; known: frame",
        ),
        (
            f"{WINDOWS}parts: {{attention: {{reach: {{within: windows}}}}}}",
            "within 'windows', which is no cut of these rows; did you mean 'window'",
        ),
        (
            "tower: {cuts: {a: {use: windows, side: 2}, b: {use: windows, side: 3}}}",
            "my.yaml:1:19: tower.cuts: rows stand in the order of one cut, not of a, b",
        ),
        ("tower: {cuts: {frame: {use: windows, side: 2}}}", "every tower is cut into frames; 'frame' is no name"),
        (
            "tower: {cuts: {a: {use: window, side: 2}}}",
            "tower.cuts.a.use: unknown cut 'window'; did you mean 'windows'",
        ),
        ("tower: {cuts: {a: {use: windows, side: 0}}}", "tower.cuts.a.side: input should be greater than 0; found 0"),
    ],
)
def test_a_cut_that_does_not_fit_is_refused(changes: str, message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(message)):
        tower(changes)


def test_a_language_model_has_no_cuts() -> None:
    tree = merge(load_named("llama")[1], parse_document("parts: {attention: {reach: {within: frame}}}", file="my.yaml"))
    with pytest.raises(SpecError, match="a language model is cut into sequences alone"):
        plan(tree, sample_config(tree), name="my")  # type: ignore[arg-type]
