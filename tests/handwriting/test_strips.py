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
from triptych.handwriting.strips import HIGH, LONGEST, WIDE, Strip, draw_strip

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
    assert {strip.picture.size for strip in strips} == {(WIDE, HIGH)}


def test_they_are_dark_on_light_and_some_are_in_colour() -> None:
    strips = drawn(count=100)
    assert min(min(strip.picture.getpixel((0, 0))) for strip in strips) > 200
    darkest = [pixels.reshape(-1, 3)[pixels.sum(-1).argmin()] for pixels in (np.asarray(s.picture) for s in strips)]
    assert 0.15 < np.mean([np.ptp(pen.astype(int)) > 15 for pen in darkest]) < 0.45


def test_digits_stand_from_left_to_right() -> None:
    """A bar of ink for each digit, the higher the digit the longer it is."""
    bars = np.zeros((10, 8, 8), np.float32)
    for digit in range(10):
        bars[digit, : 2 if digit < 5 else 8, 2:6] = 1
    for strip in drawn(Scans(bars, np.arange(10)), count=60):
        inked = grey(strip) > 60
        starts = np.flatnonzero(np.diff(inked.any(0).astype(int), prepend=0) == 1)
        ends = np.flatnonzero(np.diff(inked.any(0).astype(int), append=0) == -1)
        high = [int(inked[:, a : b + 1].any(1).sum()) > HIGH // 3 for a, b in zip(starts, ends, strict=True)]
        assert high == [digit >= 5 for digit in strip.digits]


def test_no_digit_is_cut_off_at_an_edge() -> None:
    edges = [np.concatenate((ink[0], ink[-1])) for ink in map(grey, drawn(count=100)) if np.percentile(ink, 98) > 25]
    assert np.mean([edge.max() > 60 for edge in edges]) < 0.1


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
