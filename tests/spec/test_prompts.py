"""What items become in a prompt: placeholders, and texts around and between them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych.assembly import assemble
from triptych.contrib_models.idefics3 import TileTexts
from triptych.contrib_models.minicpmv import SliceTexts
from triptych.errors import InputError, SpecError
from triptych.parts.grid import Grid
from triptych.parts.prompts import Lines, MomentFact, MomentTexts, WithCrops
from triptych.parts.slices import SliceGrid
from triptych.parts.split_tiles import SplitGrid
from triptych.spec.catalog import load_named
from triptych.spec.item_facts import ImageFacts, VideoFacts
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


def test_a_text_before_or_after_a_moment_may_be_its_time_or_its_number() -> None:
    seconds = MomentTexts(each=("<", MomentFact(seconds=1), "s>", "placeholder", "."))
    assert seconds(6, Grid(3, 2, 4), seconds=(0.25, 0.35, 10.0)) == ["<0.2s>", 2, ".<0.3s>", 2, ".<10.0s>", 2, "."]
    numbers = MomentTexts(each=("placeholder", " of frame", MomentFact(number=1)))
    assert numbers(4, Grid(2, 1, 2), seconds=(0.0, 1.0)) == [2, " of frame1", 2, " of frame2"]
    with pytest.raises(InputError, match="6 rows that are encoded already do not say how they lie, and texts stand b"):
        seconds(6, None, seconds=())


@given(st.integers(1, 9), st.integers(1, 4), st.sampled_from([None, 0.5, 30.0]))
def test_a_moment_is_in_the_middle_of_its_first_frame_and_its_last(
    frames: int, together: int, fps: float | None
) -> None:
    found = VideoFacts(frames, 2, 2, fps).moments(together)
    assert len(found) == -(-frames // together)
    for number, middle in enumerate(found):
        first, last = number * together, min(number * together + together, frames) - 1
        assert middle == pytest.approx((first + last) / 2 / (fps or 24))
    assert VideoFacts(3, 2, 2, fps, times=(1.0, 4.0, 9.0)).moments(2) == (2.5, 9.0)


def test_frames_that_a_tower_takes_one_by_one_are_a_moment_each_and_an_image_has_none() -> None:
    timed = rule("{use: moments, each: [{seconds: 2}, placeholder]}")
    told = VideoFacts(1, 48, 64, times=(2.5,))
    assert (*timed.content(16, told, {}),) == ("2.50", 16)
    assert (*timed.content(48, Grid(3, 4, 4), {}),) == ("0.00", 16, "0.04", 16, "0.08", 16)
    with pytest.raises(SpecError, match=r"prompt_updates\.0\.with: puts 0 placeholders for an item that has 16"):
        timed.content(16, IMAGE, {})


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


def test_crops_stand_behind_the_whole_each_as_an_image_and_all_of_them_told() -> None:
    found = WithCrops(before="<", after=">", whole="All: ", crops=" and parts ", between=" ")
    assert found(4, Grid(1, 2, 2)) == found(4, None) == ["<", 4, ">"]
    assert found(12, Grid(3, 2, 2)) == ["All: <", 4, "> and parts <", 4, "> <", 4, ">"]
    assert found.edges == ("<", ">")


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
        ("{use: moments, each: [x]}", "prompt_updates.0.with.each: `placeholder` is wanted, once and with texts and"),
        ("{use: moments, each: [{second: 1}, placeholder]}", "prompt_updates.0.with.each.0"),
        ("{use: moments, each: [{seconds: 1, number: 1}, placeholder]}", "prompt_updates.0.with.each.0: `seconds` or"),
        ("{use: moments, each: [3, placeholder]}", "prompt_updates.0.with.each.0"),
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
