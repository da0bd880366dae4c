"""Strips: who wrote what is held out, digits stand upright and in order, and what is drawn follows from the seed."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from triptych.errors import InputError
from triptych.handwriting.glyphs import glyph
from triptych.handwriting.scans import BLOCK, HELD_OUT, Scans, load_scans
from triptych.handwriting.strips import LONGEST, Strip, draw_strip

KEPT, HELD = load_scans()
INKED = 7  # the only digit of the scans below that is written with ink


def drawn(scans: Scans = KEPT, *, count: int = 40, seed: int = 0) -> list[Strip]:
    draw = np.random.default_rng(seed)
    return [draw_strip(scans, draw) for _ in range(count)]


def grey(strip: Strip) -> NDArray[np.float64]:
    """How far each pixel is from the paper in the corner."""
    pixels = np.asarray(strip.picture.convert("L"), np.float64)
    return np.abs(pixels - pixels[0, 0])


def test_whole_blocks_of_the_order_of_the_file_are_held_out() -> None:
    from sklearn.datasets import load_digits

    images, target = load_digits(return_X_y=True)
    held = [n for n in range(len(target)) if n // BLOCK in HELD_OUT]
    assert len(held) == len(HELD_OUT) * BLOCK
    np.testing.assert_array_equal(HELD.dots_SYX.reshape(-1, 64) * 16, images[held])
    np.testing.assert_array_equal(HELD.digits_S, target[held])
    kept = np.delete(images, held, 0)
    np.testing.assert_array_equal(KEPT.dots_SYX.reshape(-1, 64) * 16, kept)
    np.testing.assert_array_equal(KEPT.digits_S, np.delete(target, held))


@pytest.mark.parametrize("scans", [KEPT, HELD], ids=["kept", "held"])
def test_every_digit_is_in_both_parts(scans: Scans) -> None:
    assert min(len(scans.of(digit)) for digit in range(10)) > 20
    assert all((scans.digits_S[scans.of(digit)] == digit).all() for digit in range(10))


def test_without_scikit_learn_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(InputError, match=r"scikit-learn, which is not installed: pip install triptych\[handwriting\]"):
        load_scans()


def test_strips_follow_from_the_seed() -> None:
    first, again, other = (drawn(count=5, seed=seed) for seed in (0, 0, 1))
    assert [(s.digits, s.picture.tobytes()) for s in first] == [(s.digits, s.picture.tobytes()) for s in again]
    assert [s.digits for s in first] != [s.digits for s in other]


def test_strips_are_of_every_length_and_begin_with_any_digit() -> None:
    strips = drawn(count=200)
    assert {len(strip.digits) for strip in strips} == set(range(1, LONGEST + 1))
    assert {strip.digits[0] for strip in strips} == set(range(10))
    assert len({strip.picture.size for strip in strips}) > 100


def test_some_are_light_on_dark_and_some_are_in_colour() -> None:
    corners = np.array([strip.picture.getpixel((0, 0)) for strip in drawn(count=100)])
    dark = (corners.mean(1) < 125).mean()
    assert 0.1 < dark < 0.35
    assert 0.15 < (np.ptp(corners, 1) > 10).mean() < 0.5


@pytest.mark.parametrize("digits", [(INKED, 0, 0, 0), (0, INKED, 0, 0), (0, 0, INKED, 0), (0, 0, 0, INKED)])
def test_digits_stand_from_left_to_right(digits: tuple[int, ...]) -> None:
    blank = np.zeros((10, 8, 8), np.float32)
    blank[INKED, 1:7, 2:6] = 1
    scans = Scans(blank, np.arange(10))
    asked = next(s for seed in range(4000) for s in [_of_length(scans, len(digits), seed)] if _fits(s, digits))
    ink = grey(asked)
    where = (ink.sum(0) * np.arange(ink.shape[1])).sum() / ink.sum() / ink.shape[1]
    assert digits.index(INKED) == int(where * len(digits))


def _of_length(scans: Scans, length: int, seed: int) -> Strip:
    return next(s for s in drawn(scans, count=20, seed=seed) if len(s.digits) == length)


def _fits(strip: Strip, digits: tuple[int, ...]) -> bool:
    return [digit == INKED for digit in strip.digits] == [digit == INKED for digit in digits]


def test_a_glyph_is_its_scan_upright_and_not_mirrored() -> None:
    draw = np.random.default_rng(0)
    chosen = draw.choice(len(KEPT.dots_SYX), 60, replace=False)
    like = {"as it is": [], "mirrored": [], "upside down": [], "on its side": []}
    for dots in KEPT.dots_SYX[chosen]:
        ink = Image.fromarray(glyph(dots, draw, slant=0.0, size=1.0))
        columns = np.flatnonzero(dots.max(0) > 0)
        found = np.asarray(ink.resize((columns[-1] - columns[0] + 1, 10), Image.Resampling.BOX))[1:-1]
        cut = dots[:, columns[0] : columns[-1] + 1]
        for name, other in (("as it is", cut), ("mirrored", cut[:, ::-1]), ("upside down", cut[::-1])):
            like[name].append(np.corrcoef(found.ravel(), other.ravel())[0, 1])
    assert np.mean(like["as it is"]) > 0.85
    assert np.mean(like["as it is"]) > max(np.mean(like["mirrored"]), np.mean(like["upside down"])) + 0.2


def test_ink_is_seen_against_its_paper() -> None:
    assert min(np.percentile(grey(strip), 98) for strip in drawn(HELD, count=100)) > 25
