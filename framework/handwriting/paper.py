"""What is written in any picture, as in those that the model learned from: dark on a strip of light paper."""
# Y and X pixels, C colours

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from triptych.handwriting.strips import HIGH, WIDE

TALL, BROAD = 25, 134  # pixels of the paper that what is written takes at most
DARK = 128  # paper below it is taken for the negative of a picture
FAINT = 32  # what differs less from the paper is not written


def as_strip(picture: Image.Image) -> Image.Image:
    """A picture in RGB as WIDE x HIGH pixels of paper, what is written as large as there is room for, in the middle."""
    grey_YX = np.asarray(picture.convert("L"), np.float32)
    edge = float(np.median(np.concatenate([grey_YX[0], grey_YX[-1], grey_YX[:, 0], grey_YX[:, -1]])))
    if edge < DARK:
        picture, grey_YX, edge = ImageOps.invert(picture), 255 - grey_YX, 255 - edge
    left, top, right, bottom = box = _written(np.abs(grey_YX - edge))
    scale = min(TALL / (bottom - top), BROAD / (right - left))
    size = (max(1, round(scale * (right - left))), max(1, round(scale * (bottom - top))))
    strip = Image.new("RGB", (WIDE, HIGH), _paper(picture))
    strip.paste(picture.resize(size, box=box), ((WIDE - size[0]) // 2, (HIGH - size[1]) // 2))
    return strip


def _written(ink_YX: NDArray[np.float32]) -> tuple[int, int, int, int]:
    """The box around all that differs from the paper at least half as much as what differs most."""
    there_YX = ink_YX >= max(FAINT, ink_YX.max() / 2)
    if not there_YX.any():
        return 0, 0, ink_YX.shape[1], ink_YX.shape[0]
    (x, y) = (np.flatnonzero(there_YX.any(axis)) for axis in (0, 1))
    return int(x[0]), int(y[0]), int(x[-1]) + 1, int(y[-1]) + 1


def _paper(picture: Image.Image) -> tuple[int, int, int]:
    """The colour at the edges of a picture."""
    pixels_YXC = np.asarray(picture)
    edge = np.concatenate([pixels_YXC[0], pixels_YXC[-1], pixels_YXC[:, 0], pixels_YXC[:, -1]])
    red, green, blue = (int(colour) for colour in np.median(edge, axis=0))
    return red, green, blue
