"""What a spec says of rows of a tower's layers that are added in the language model."""

from __future__ import annotations

import re

import pytest

from triptych.errors import SpecError
from triptych.spec.catalog import load_named, sample_config
from triptych.spec.document import parse_document
from triptych.spec.merge import merge
from triptych.spec.plan import ModelPlan, plan


def planned(changes: str, base: str = "qwen3_vl") -> ModelPlan:
    tree = load_named(base)[1]
    changed = merge(tree, parse_document(changes, file="my.yaml"))
    return plan(changed, sample_config(tree), name="my")


def taps(layers: str) -> str:
    return f"towers: {{image: {{with: {{tower: {{output: {{taps: {layers}}}}}}}}}}}\n"


def test_each_layer_that_is_tapped_has_a_projector_of_its_own() -> None:
    found = planned(taps("[0, 1]"))
    assert found.towers["image"].tapped == (1, 2)
    assert [name for name, _, _ in found.deepstack["image"]] == ["merge", "norm", "mlp"]
    assert found.added == 2


def test_a_tower_that_taps_no_layer_has_none() -> None:
    found = planned(taps("[]"))
    assert not found.deepstack
    assert found.added == 0


def test_a_tower_hands_out_the_rows_of_its_taps_only_where_they_are_asked_for() -> None:
    assert planned("deepstack: null").towers["image"].tapped == ()
    assert planned("", base="qwen3_vl_vision").towers[""].tapped == (1,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("deepstack: {imag: deep_merger}", "my.yaml:1:13: deepstack.imag: no tower 'imag' gives it rows; did you mean"),
        (
            taps("null"),
            "deepstack.image: tower 'image' hands out no rows beside those of its end; its `output` says of",
        ),
        ("projectors: {image: null}", "the rows of the end of tower 'image' have no projector, and those beside them"),
        ("deepstack: {image: {a: {use: linaer}}}", "deepstack.image.a.use: unknown projector 'linaer'; did you mean"),
        (taps("[2]"), "output.taps: the rows of layer 2 of 2; 1 is the last"),
        (taps("[1, 0]"), "output.taps: layers are tapped from the first to the last, each once, not [1, 0]"),
        (taps("[1, 1]"), "output.taps: layers are tapped from the first to the last, each once, not [1, 1]"),
        (taps("[-1]"), "output.taps.0: input should be greater than or equal to 0; found -1"),
        (
            "language_model: {with: {language_model: {layers: {count: 1}}}}\n" + taps("[0, 1]"),
            "deepstack.image: the rows of 2 taps are added after as many layers; the language model has 1",
        ),
    ],
)
def test_taps_that_do_not_fit_are_refused(changes: str, message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(message)):
        planned(changes)
