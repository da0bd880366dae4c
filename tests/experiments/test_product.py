"""Any tower on any projector on any language model of the registry goes together."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from triptych.experiments.compose import compose
from triptych.experiments.offered import GROUPS, offered_names
from triptych.experiments.read import read
from triptych.experiments.tasks import check
from triptych.experiments.whole import Row
from triptych.registry import part_names
from triptych.spec.catalog import catalog

MEMBERS = [*product(*(offered_names(group) for group in GROUPS))]


def checked(*words: str) -> Row:
    """What the check of the shipped experiment measures."""
    (row,) = check(read(compose("assemble", words)), Path(), 0)
    return row


@pytest.mark.parametrize("member", MEMBERS, ids="-".join)
def test_it_assembles_and_its_shapes_agree(member: tuple[str, str, str]) -> None:
    words = [f"{group}={option}" for group, option in zip(GROUPS, member, strict=True)]
    row = checked(*words)
    assert row["image_tokens"] == (17 if member[0] == "clip" else 16)  # a class token, and a 4 x 4 grid of patches
    assert isinstance(row["width"], int)


def test_every_registered_tower_projector_and_language_model_is_an_option() -> None:
    specs = {kind: [listed.name for listed in catalog().values() if listed.kind == kind] for kind in GROUPS}
    assert offered_names("tower") == [name.removesuffix("_vision") for name in specs["tower"]]
    assert offered_names("language_model") == specs["language_model"]
    assert offered_names("projector") == sorted(part_names("projector"))


def test_widths_are_inferred_from_what_stands_on_both_sides() -> None:
    words = ["model.sample.vision_config.hidden_size=48", "model.sample.text_config.hidden_size=80"]
    wide, narrow = checked(*words, "projector=linear"), checked(words[0], "projector=linear")
    assert (wide["width"], narrow["width"]) == (80, 64)


def test_counts_are_inferred_from_the_tower() -> None:
    row = checked("model.sample.vision_config.image_size=84")
    assert row["image_tokens"] == 6 * 6 + 1
