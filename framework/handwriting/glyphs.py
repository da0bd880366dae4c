"""One digit: a scan, written a little differently each time."""
# Y and X pixels

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

Ink = NDArray[np.float32]  # [Y, X], from 0, paper, to 1
SIDE = 30  # pixels of a digit, with a little paper around it
FINE = 32  # and of the smooth picture that it is taken from
LEAST = 0.1  # ink that counts as such


def glyph(dots: Ink, draw: Generator, *, slant: float, size: float) -> Ink:
    """A scan of 8 x 8 dots, smooth, turned, slanted, stretched and bent; cut at the sides to its ink."""
    fine = np.asarray(Image.fromarray(np.pad(dots, 1)).resize((FINE, FINE), Image.Resampling.BICUBIC))
    y, x = np.meshgrid(*2 * [np.linspace(-1, 1, SIDE)], indexing="ij")
    turn = draw.uniform(-0.17, 0.17)
    wide, high = size * draw.uniform(0.85, 1.15), size * draw.uniform(0.9, 1.1)
    x_from = (x * np.cos(turn) + y * np.sin(turn) + slant * y) / wide
    y_from = (y * np.cos(turn) - x * np.sin(turn)) / high
    return _cut(np.clip(_taken(fine, y_from + _bend(y, x, draw), x_from + _bend(x, y, draw)), 0, 1))


def _bend(along: NDArray[np.float64], across: NDArray[np.float64], draw: Generator) -> NDArray[np.float64]:
    """Two waves over the digit, lower than a stroke is wide."""
    heights, phases = draw.uniform(0, 0.06, size=2), draw.uniform(0, 2 * np.pi, size=2)
    waves = heights[0] * np.sin(2.5 * along + phases[0]) + heights[1] * np.sin(2.5 * across + phases[1])
    return np.asarray(waves, np.float64)


def _taken(fine: Ink, y: NDArray[np.float64], x: NDArray[np.float64]) -> Ink:
    """The picture at places from -1 to 1, linear between its pixels; nothing is beyond its edge."""
    at = [(each + 1) * (FINE - 1) / 2 for each in (y, x)]
    low = [np.clip(np.floor(each), 0, FINE - 2).astype(np.int64) for each in at]
    (y0, x0), (y1, x1) = low, [np.clip(each - start, 0, 1) for each, start in zip(at, low, strict=True)]
    top = fine[y0, x0] * (1 - x1) + fine[y0, x0 + 1] * x1
    bottom = fine[y0 + 1, x0] * (1 - x1) + fine[y0 + 1, x0 + 1] * x1
    return np.asarray(top * (1 - y1) + bottom * y1, np.float32)


def _cut(ink: Ink) -> Ink:
    columns = np.flatnonzero(ink.max(0) > LEAST)
    return ink[:, columns[0] : columns[-1] + 1] if len(columns) else ink
