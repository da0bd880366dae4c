"""What a spec says of the steps that make fewer rows of a tower's."""

from __future__ import annotations

import re

import pytest

from triptych.errors import SpecError
from triptych.spec.catalog import load_named, sample_config
from triptych.spec.document import parse_document
from triptych.spec.merge import merge
from triptych.spec.plan import ModelPlan, plan


def planned(base: str, changes: str) -> ModelPlan:
    tree = merge(load_named(base)[1], parse_document(changes, file="my.yaml"))
    return plan(tree, sample_config(tree), name="my")


def test_a_tower_pools_nothing_unless_asked_to_and_its_spec_may_name_how() -> None:
    assert planned("siglip_vision", "tower: {width: 32}").towers[""].pool == ()
    found = planned("siglip_vision", "tower: {pool: head}").towers[""].pool
    assert [(name, kind) for name, kind, _ in found] == [("attend", "projector"), ("mlp", "projector")]
    (step,) = planned("siglip_vision", "tower: {pool: {mean: {use: average, side: 2}}}").towers[""].pool
    assert step[:2] == ("mean", "projector")


@pytest.mark.parametrize(
    ("base", "changes", "message"),
    [
        (
            "siglip_vision",
            "tower: {pool: heads}",
            "my.yaml:1:15: tower.pool: no 'heads' in programs; did you mean 'head'?",
        ),
        (
            "siglip_vision",
            "tower: {output: {taps: [0]}, pool: head}",
            "my.yaml:1:36: tower.pool: rows of taps stand beside those of the end, each by itself",
        ),
        (
            "llama",
            "language_model: {pool: {mean: {use: average, side: 2}}}",
            "my.yaml:1:24: language_model.pool: rows of items are pooled by a tower; those of a prompt by a `pooler`",
        ),
    ],
)
def test_what_cannot_be_pooled_is_refused(base: str, changes: str, message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(message)):
        planned(base, changes)
