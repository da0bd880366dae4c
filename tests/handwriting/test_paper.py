"""Any picture becomes a strip of the size that is learned from, what is written dark and in the middle."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from triptych.handwriting.paper import BROAD, TALL, as_strip
from triptych.handwriting.strips import HIGH, WIDE


def written(size: tuple[int, int], box: tuple[int, int, int, int], ink: int = 20, paper: int = 240) -> Image.Image:
    page = Image.new("L", size, paper)
    page.paste(ink, box)
    return page.convert("RGB")


def ink_of(strip: Image.Image) -> tuple[int, int, int, int]:
    """The box of what is dark: left, top, right, bottom."""
    dark = np.asarray(strip.convert("L")) < 128
    (x, y) = (np.flatnonzero(dark.any(axis)) for axis in (0, 1))
    return int(x[0]), int(y[0]), int(x[-1]) + 1, int(y[-1]) + 1


@pytest.mark.parametrize(
    ("size", "box", "wanted"),
    [
        ((500, 400), (300, 100, 400, 150), (2 * TALL, TALL)),  # far from the middle
        ((100, 100), (30, 20, 40, 80), (round(TALL / 6), TALL)),  # narrow
        ((1000, 100), (20, 40, 980, 60), (BROAD, round(BROAD / 48))),  # broad
        ((40, 10), (10, 2, 14, 4), (2 * TALL, TALL)),  # small
    ],
)
@pytest.mark.parametrize("negative", [False, True])
def test_what_is_written_is_as_large_as_there_is_room_for(
    size: tuple[int, int], box: tuple[int, int, int, int], wanted: tuple[int, int], negative: bool
) -> None:
    strip = as_strip(written(size, box, *((240, 20) if negative else (20, 240))))
    assert strip.size == (WIDE, HIGH)
    left, top, right, bottom = ink_of(strip)
    assert (right - left, bottom - top) == pytest.approx(wanted, abs=2)
    assert (left + right) / 2 == pytest.approx(WIDE / 2, abs=2)
    assert (top + bottom) / 2 == pytest.approx(HIGH / 2, abs=2)


def test_the_paper_keeps_its_colour() -> None:
    page = Image.new("RGB", (200, 200), (250, 240, 200))
    page.paste((0, 0, 90), (80, 80, 120, 120))
    strip = as_strip(page)
    assert strip.getpixel((0, 0)) == (250, 240, 200)
    assert strip.getpixel((WIDE // 2, HIGH // 2)) == (0, 0, 90)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (10_000, 20), (7, 3)])
@pytest.mark.parametrize("kind", ["blank", "noise"])
def test_a_picture_without_writing_is_one_too(size: tuple[int, int], kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    page = Image.new("RGB", size, "white") if kind == "blank" else Image.fromarray(noise)
    assert as_strip(page).size == (WIDE, HIGH)
