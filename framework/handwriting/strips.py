"""Pictures of numbers: digits as somebody could have written them, side by side."""
# Y and X pixels, C colours

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from triptych.handwriting.glyphs import SIDE, glyph
from triptych.handwriting.scans import Scans

Ink = NDArray[np.float32]  # [Y, X], from 0, paper, to 1
LONGEST = 5  # digits
DROP = 6  # pixels that a digit may stand lower than another
WIDEST = 2 * LONGEST * SIDE  # pixels; more than any strip has


@dataclass(frozen=True)
class Strip:
    """The digits of a number from left to right, and a picture of them."""

    digits: tuple[int, ...]
    picture: Image.Image


def draw_strip(scans: Scans, draw: Generator) -> Strip:
    """A number of 1 to LONGEST digits in one hand: a slant, a size, a pen and paper."""
    digits = tuple(int(digit) for digit in draw.integers(10, size=draw.integers(1, LONGEST + 1)))
    slant, size = draw.uniform(-0.2, 0.2), draw.uniform(0.8, 1.15)
    glyphs = [
        glyph(scans.dots_SYX[draw.choice(scans.of(digit))], draw, slant=slant, size=size * draw.uniform(0.9, 1.1))
        for digit in digits
    ]
    return Strip(digits, _coloured(_pen(_side_by_side(glyphs, draw), draw), draw))


def _side_by_side(glyphs: Sequence[Ink], draw: Generator) -> Ink:
    """The digits on paper, a little above or below one another; some touch."""
    above, below, left, right = (int(draw.integers(most)) for most in (10, 10, 16, 16))
    gap = draw.uniform(0, 8)
    paper = np.zeros((above + SIDE + DROP + below, WIDEST), np.float32)
    x = left
    for ink in glyphs:
        y, width = above + int(draw.integers(DROP + 1)), ink.shape[1]
        there = paper[y : y + SIDE, x : x + width]
        np.maximum(there, ink, out=there)
        end = x + width
        x = max(end + round(gap + draw.uniform(-2, 3)), left)
    return paper[:, : end + right]


def _pen(ink: Ink, draw: Generator) -> Ink:
    """From the soft dots of a scan to the hard edge of a pen: thin or thick, sharp or blurred."""
    edge, hardness = draw.uniform(0.25, 0.6), draw.uniform(3.0, 20.0)
    low, high = (1 / (1 + np.exp(-hardness * (bound - edge))) for bound in (0.0, 1.0))
    hard = (1 / (1 + np.exp(-hardness * (ink - edge))) - low) / (high - low)
    return np.asarray(hard, np.float32)


def _coloured(ink_YX: Ink, draw: Generator) -> Image.Image:
    """Dark on light, or light on dark; grey or in colour; the paper evenly lit or not."""
    dark, light = draw.uniform(0, 90, size=3), draw.uniform(180, 256, size=3)
    if draw.random() < 0.7:
        dark[:], light[:] = dark[0], light[0]
    paper_C, pen_C = (dark, light) if draw.random() < 0.2 else (light, dark)
    x_X = np.linspace(-1, 1, ink_YX.shape[1]) * draw.uniform(-15, 15)
    y_Y = np.linspace(-1, 1, ink_YX.shape[0]) * draw.uniform(-15, 15)
    light_YX = (x_X + y_Y[:, None]) * (draw.random() < 0.4)
    pixels_YXC = paper_C + (pen_C - paper_C) * ink_YX[..., None] + light_YX[..., None]
    picture = Image.fromarray(np.clip(pixels_YXC, 0, 255).astype(np.uint8))
    return picture.filter(ImageFilter.GaussianBlur(draw.uniform(0.3, 1.0))) if draw.random() < 0.3 else picture
