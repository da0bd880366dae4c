"""Towers, projectors and language models of the registry go together."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from time import perf_counter

import pytest

import triptych.conf
from triptych.experiments import check
from triptych.experiments.compose import compose
from triptych.experiments.offered import GROUPS, offered_names
from triptych.experiments.read import read
from triptych.experiments.whole import Row
from triptych.registry import part_names
from triptych.spec.catalog import catalog

CONF = Path(triptych.conf.__file__).parent
# 4 x 4 patches, but with a class token, or as many as an image of any size has at the most
ROWS = {"clip": 17, "internvit": 17, "internvl": 17, "qwen2_vl": 5120, "qwen2_5_vl": 5120, "qwen3_vl": 3920}
TOWERS, PROJECTORS, TEXTS = (offered_names(group) for group in GROUPS)
APART = 5
MEMBERS = [  # of the product: each language model stands with two or three towers, each tower with a fifth of them
    (tower, PROJECTORS[(row + column) // APART % len(PROJECTORS)], text)
    for (row, tower), (column, text) in product(enumerate(TOWERS), enumerate(TEXTS))
    if (row + column) % APART == 0
]


def checked(*words: str) -> Row:
    """What the check of the shipped experiment measures."""
    return check.summary([*check.rows(read(compose("assemble", words)), Path(), 0)])


@pytest.mark.parametrize("member", MEMBERS, ids="-".join)
def test_it_assembles_and_its_shapes_agree(member: tuple[str, str, str]) -> None:
    words = [f"{group}={option}" for group, option in zip(GROUPS, member, strict=True)]
    row = checked(*words)
    assert row["image_tokens"] == ROWS.get(member[0], 16)
    assert isinstance(row["width"], int)


def test_each_tower_stands_with_each_projector_and_each_language_model_with_several_towers() -> None:
    assert {(tower, projector) for tower, projector, _ in MEMBERS} == {*product(TOWERS, PROJECTORS)}
    assert all(sum(member[2] == text for member in MEMBERS) >= 2 for text in TEXTS)


def test_every_registered_tower_projector_and_language_model_is_an_option() -> None:
    specs = {kind: [listed.name for listed in catalog().values() if listed.kind == kind] for kind in GROUPS}
    towers = [name.removesuffix("_vision") for name in specs["tower"] if not name.endswith("_encoder")]
    assert offered_names("tower") == sorted(towers)
    assert offered_names("language_model") == specs["language_model"]
    assert offered_names("projector") == ["linear", "mlp"], "others are steps on the way, or have to be told something"
    assert {"average", "merge", "tiles"} <= {*part_names("projector")}


def test_a_member_of_the_product_takes_a_second_at_most() -> None:
    checked()  # what is loaded once
    began = perf_counter()
    for member in (some := MEMBERS[::5]):
        checked(*(f"{group}={option}" for group, option in zip(GROUPS, member, strict=True)))
    assert perf_counter() - began < len(some)


def test_widths_are_inferred_from_what_stands_on_both_sides() -> None:
    words = ["model.sample.vision_config.hidden_size=48", "model.sample.text_config.hidden_size=80"]
    wide, narrow = checked(*words, "projector=linear"), checked(words[0], "projector=linear")
    assert (wide["width"], narrow["width"]) == (80, 64)


def test_counts_are_inferred_from_the_tower() -> None:
    row = checked("model.sample.vision_config.image_size=84")
    assert row["image_tokens"] == 6 * 6 + 1


def parameters(component: str, *words: str) -> object:
    found = check.rows(read(compose("assemble", words)), Path(), 0)
    return next(row["parameters"] for row in found if row["component"] == component)


@pytest.mark.parametrize(
    ("name", "count"), [("llama3_8b", 8_030_261_248), ("qwen3_600m", 596_049_920), ("smollm2_135m", 134_515_008)]
)
def test_a_language_model_of_a_published_size_has_its_parameters(name: str, count: int) -> None:
    assert parameters("language_model", f"language_model=sizes/{name}") == count


@pytest.mark.parametrize(("name", "rows"), [("clip_large_336", 24 * 24 + 1), ("siglip_so400m_384", 27 * 27)])
def test_a_tower_of_a_published_size_gives_its_rows(name: str, rows: int) -> None:
    assert checked(f"tower=sizes/{name}")["image_tokens"] == rows


FILES = [(group, file.relative_to(CONF / group)) for group in GROUPS for file in (CONF / group).rglob("*.yaml")]
OPTIONS = [f"{group}={file.with_suffix('').as_posix()}" for group, file in FILES]


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_by_file_goes_with_the_others(option: str) -> None:
    assert checked(option)["image_tokens"]
