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
LONGEST = 4  # digits
HIGH, WIDE = 36, 144  # pixels of the paper, whatever stands on it: a digit is about as large in every picture


@dataclass(frozen=True)
class Strip:
    """The digits of a number from left to right, and a picture of them."""

    digits: tuple[int, ...]
    picture: Image.Image


def draw_strip(scans: Scans, draw: Generator) -> Strip:
    """A number of 1 to LONGEST digits in one hand: a slant, a size, a pen, somewhere on the paper."""
    digits = tuple(int(digit) for digit in draw.integers(10, size=draw.integers(1, LONGEST + 1)))
    slant, size = draw.uniform(-0.15, 0.15), draw.uniform(0.85, 1.1)
    glyphs = [
        glyph(scans.dots_SYX[draw.choice(scans.of(digit))], draw, slant=slant, size=size * draw.uniform(0.92, 1.08))
        for digit in digits
    ]
    return Strip(digits, _coloured(_pen(_side_by_side(glyphs, draw), draw), draw))


def _side_by_side(glyphs: Sequence[Ink], draw: Generator) -> Ink:
    """The digits on paper, a little above or below one another, as close as they have to be."""
    paper = np.zeros((HIGH, WIDE), np.float32)
    free = WIDE - sum(ink.shape[1] for ink in glyphs)
    gaps = np.minimum(draw.uniform(2, 8) + draw.uniform(-2, 3, size=len(glyphs) - 1), free / len(glyphs))
    x, top = draw.uniform(0, free - gaps.sum()), draw.integers(HIGH - SIDE + 1)
    for ink, gap in zip(glyphs, (*gaps, 0), strict=True):
        y, width = int(np.clip(top + draw.integers(-2, 3), 0, HIGH - SIDE)), ink.shape[1]
        paper[y : y + SIDE, round(x) : round(x) + width] = ink
        x += width + gap
    return paper


def _pen(ink: Ink, draw: Generator) -> Ink:
    """From the soft dots of a scan to the hard edge of a pen: thin or thick, sharp or blurred."""
    edge, hardness = draw.uniform(0.3, 0.55), draw.uniform(4.0, 16.0)
    low, high = (1 / (1 + np.exp(-hardness * (bound - edge))) for bound in (0.0, 1.0))
    hard = (1 / (1 + np.exp(-hardness * (ink - edge))) - low) / (high - low)
    return np.asarray(hard, np.float32)


def _coloured(ink_YX: Ink, draw: Generator) -> Image.Image:
    """Dark on light: a pen, at times of some colour, on paper that is nearly white."""
    pen_C, paper_C = draw.uniform(0, 80, size=3), draw.uniform(225, 256) + draw.uniform(-8, 8, size=3)
    if draw.random() < 0.7:
        pen_C[:] = pen_C[0]
    pixels_YXC = paper_C + (pen_C - paper_C) * ink_YX[..., None]
    picture = Image.fromarray(np.clip(pixels_YXC, 0, 255).astype(np.uint8))
    return picture.filter(ImageFilter.GaussianBlur(draw.uniform(0.3, 0.8))) if draw.random() < 0.2 else picture
