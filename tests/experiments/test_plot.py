"""Measurements as a picture: what is drawn, what is not, and that no name breaks it."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from triptych.experiments.plot import BARS, GAP, Bars, plot

BLUE, ORANGE = (31, 119, 180), (255, 127, 14)


def drawn(*args: Any, **options: Any) -> np.ndarray:
    found = plot(*args, **options)
    assert found is not None
    return np.asarray(Image.open(BytesIO(found)).convert("RGB"))


def bars(picture: np.ndarray, colour: tuple[int, int, int] = BLUE) -> list[int]:
    """The length in pixels of each bar, from the top; those beside each other count as one."""
    blue = (picture == colour).all(-1).sum(1)
    starts = [y for y in range(1, len(blue)) if blue[y] and not blue[y - 1]]
    return [int(blue[y + 3]) for y in starts]


def test_bars_are_as_long_as_the_numbers_and_stand_in_the_order_of_the_rows() -> None:
    lengths = bars(drawn([{"x": 1}, {"x": 4}, {"x": 2.0}], ["a", "b", "c"], title="t"))
    assert len(lengths) == 3
    assert np.allclose(np.array(lengths) / lengths[0], [1, 4, 2], rtol=0.05)


def test_a_column_that_is_the_same_all_over_is_left_out_unless_all_are() -> None:
    one = [{"x": 1}, {"x": 2}]
    both, alike = [{**row, "y": 3} for row in one], [{"y": 3}, {"y": 3}]
    names = ["a", "b"]
    assert (drawn(one, names, title="t") == drawn(both, names, title="t")).all()
    assert len(bars(drawn(alike, names, title="t"))) == 2


def test_there_is_a_panel_for_each_measurement() -> None:
    rows = [{key: number + size for number, key in enumerate("abcd")} for size in range(2)]
    one, three, four = (
        drawn([{k: row[k] for k in keys} for row in rows], ["a", "b"], title="t") for keys in ("a", "abc", "abcd")
    )
    assert one.shape[1] < three.shape[1] == four.shape[1]
    assert one.shape[0] == three.shape[0] < four.shape[0]


def test_each_member_of_a_large_sweep_has_its_bar() -> None:
    rows = [{"x": 1 + number % 3} for number in range(44)]
    assert len(bars(drawn(rows, [f"siglip mlp model{number}" for number in range(44)], title="t"))) == 44


def test_rows_of_one_text_have_its_colour_and_the_legend_says_it_last() -> None:
    rows, names, colours = [{"x": size} for size in (1, 4, 2, 3)], ["a", "a", "b", "b"], ["one", "two"] * 2
    picture = drawn(rows, names, title="t", colours=colours)
    blue, orange = bars(picture), bars(picture, ORANGE)
    assert np.allclose(np.array(blue[:2]) / blue[0], [1, 2], rtol=0.05)
    assert np.allclose(np.array(orange[:2]) / blue[0], [4, 3], rtol=0.05)
    assert (len(blue), len(orange)) == (3, 3)  # and the square of each in the legend


def test_a_name_of_neighbours_stands_in_their_middle_and_their_bars_touch_no_others() -> None:
    found = Bars.of(["a", "a", "b"], ["one", "two", "one"])
    assert found == Bars([0, 1, 2 + GAP], ["C0", "C1", "C0"], {0.5: "a", 2 + GAP: "b"}, {"one": "C0", "two": "C1"})


def test_very_many_rows_are_dots() -> None:
    rows = [{"x": number % 7} for number in range(BARS + 1)]
    many, more = (drawn(each, [""] * len(each), title="t") for each in (rows, rows * 9))
    assert many.shape == more.shape


def test_where_there_is_nothing_to_see_nothing_is_drawn() -> None:
    assert plot([], [], title="t") is None
    assert plot([{"x": 1}], ["a"], title="t") is None
    assert plot([{"x": "1"}, {"x": None}], ["a", "b"], title="t") is None


@given(name=st.text(st.characters(codec="utf-8")), value=st.floats() | st.booleans() | st.integers() | st.text())
@settings(deadline=None, max_examples=25)
def test_no_name_and_no_value_breaks_it(name: str, value: object) -> None:
    picture = drawn([{"x": 1, name: value}, {"x": 2}], [name, f"${name}$"], title=name * 9)
    assert picture.shape[0] < 1000


def test_curves_stand_over_the_steps_that_they_are_told() -> None:
    rows = [{"x": value} for value in (0.0, 1.0, 0.0)]
    even, late = (drawn(rows, [""] * 3, title="t", over=over) for over in ([0, 5, 10], [0, 9, 10]))
    peaks = [np.argwhere((picture == BLUE).all(-1))[0][1] / picture.shape[1] for picture in (even, late)]
    assert 0.45 < peaks[0] < 0.65
    assert peaks[1] > peaks[0] + 0.2
