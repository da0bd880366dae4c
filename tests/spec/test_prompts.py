"""What items become in a prompt: placeholders, and texts around and between them."""

from __future__ import annotations

from pathlib import Path

import pytest

from triptych.assembly import assemble
from triptych.contrib_models.idefics3 import TileTexts
from triptych.contrib_models.minicpmv import SliceTexts
from triptych.errors import InputError, SpecError
from triptych.parts.grid import Grid
from triptych.parts.prompts import Lines
from triptych.parts.slices import SliceGrid
from triptych.parts.split_tiles import SplitGrid
from triptych.spec.catalog import load_named
from triptych.spec.item_facts import ImageFacts
from triptych.spec.tokens import TokenRule
from triptych.spec.validate import validate

SAMPLE = load_named("llava")[1]["sample"]
IMAGE = ImageFacts(48, 64)


def rule(content: str) -> TokenRule:
    """That of a small LLaVA, whose images have 16 rows, 4 x 4."""
    update = f"prompt_updates=[{{modality: image, replace: <image>, with: {content}}}]"
    return assemble("llava", SAMPLE, overrides=[update]).tokens["image"]


@pytest.mark.parametrize(
    ("content", "pieces"),
    [
        ("placeholder", (16,)),
        ("[placeholder]", (16,)),
        ('["<img>", placeholder, "</img>", "\\n"]', ("<img>", 16, "</img>", "\n")),
        ("[placeholder, =config.projector_hidden_act]", (16, "gelu")),
        ("{use: lines, between: '|', end: '.'}", (4, "|", 4, "|", 4, "|", 4, ".")),
    ],
)
def test_an_item_becomes_its_placeholders_and_the_texts_around_them(content: str, pieces: tuple[str | int]) -> None:
    assert (*rule(content).content(16, IMAGE, {}),) == pieces


def test_lines_may_be_those_of_neighbours_that_are_joined() -> None:
    assert Lines(between="|", end=".", side=2)(4, Grid(1, 5, 4)) == [2, "|", 2, "."]
    assert Lines(between="|", end=".")(3, Grid(1, 1, 3)) == [3, "."]


def test_rows_that_are_encoded_already_have_texts_around_them_but_not_between_lines() -> None:
    assert (*rule("[placeholder, x]").content(7, None, {}),) == (7, "x")
    with pytest.raises(InputError, match=r"7 rows that are encoded already do not say how they lie, and '\|' stands"):
        rule("{use: lines, between: '|', end: '.'}").content(7, None, {})


def test_other_placeholders_than_rows_are_refused() -> None:
    told = r"prompt_updates\.0\.with: puts 4 placeholders for an item that has 16"
    with pytest.raises(SpecError, match=told):
        rule("{use: lines, between: '|', end: '.', side: 2}").content(16, IMAGE, {})


def test_tiles_stand_under_their_line_and_column_as_idefics3_writes_them() -> None:
    found = TileTexts(around="|", whole="<all>")
    tiles = ["|<row_1_col_1>", 4, "|<row_1_col_2>", 4, "\n|<row_2_col_1>", 4, "|<row_2_col_2>", 4]
    assert found(20, SplitGrid(5, 2, 2, 2, 2)) == [*tiles, "\n\n|<all>", 4, "|"]
    assert found(4, SplitGrid(1, 2, 2, 0, 0)) == ["|<all>", 4, "|"]
    with pytest.raises(InputError, match="20 rows that are encoded already do not say how their image was cut"):
        found(20, None)


def test_slices_stand_line_by_line_each_marked_or_all_of_them() -> None:
    cut, whole = SliceGrid(5, 2, 3, 2, 2, 4, 4), ["<image>", 3, "</image>"]
    line = ["<slice>", 3, "</slice>"] * 2
    assert SliceTexts()(15, cut) == [*whole, *line, "\n", *line]
    assert SliceTexts(slices="all")(15, cut) == [*whole, "<slice>", *whole, *whole, "\n", *whole, *whole, "</slice>"]
    assert SliceTexts()(3, SliceGrid(1, 2, 3, 0, 0, 0, 0)) == whole
    with pytest.raises(InputError, match="15 rows that are encoded already do not say how their image was cut"):
        SliceTexts()(15, None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("placeholdr", "prompt_updates.0.with: `placeholder` is wanted, once and with texts around it"),
        ("[placeholder, placeholder]", "prompt_updates.0.with: `placeholder` is wanted, once"),
        ("[placeholder, 3]", "prompt_updates.0.with: `placeholder` is wanted, once"),
        ("{use: lnes}", "prompt_updates.0.with.use: unknown prompt 'lnes'; did you mean 'lines'"),
        ("{use: lines, between: x}", "prompt_updates.0.with.end: required"),
        ("{use: lines, between: x, end: ''}", "prompt_updates.0.with.end: "),
    ],
)
def test_a_mistake_is_told_before_there_is_a_config(content: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    update = f"prompt_updates: [{{modality: image, replace: x, with: {content}}}]"
    file.write_text(f"schema: 1\nbase: llava\n{update}\n", "utf-8")
    problems = [f"{problem.path}: {problem.message}" for problem in validate(file)]
    assert [found for found in problems if found.startswith(message)], problems


def test_a_text_that_a_config_leaves_out_is_refused() -> None:
    with pytest.raises(SpecError, match=r"prompt_updates\.0\.with: texts are wanted, not "):
        rule("[placeholder, =config.image_token]")
