"""The scans that strips are made of: the handwritten digits that come with scikit-learn, 1,797 of 8 x 8 dots.

They stand in the order in which people wrote them, so whole blocks of that order are held out: what a model is
examined on was, but for who wrote at the edges of a block, written by nobody that it has learned from.
"""
# S scans, Y and X dots

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych.errors import InputError

BLOCK = 150  # scans; people wrote about as many each
HELD_OUT = (3, 9)  # the fourth and the tenth of twelve blocks
DARKEST = 16.0  # of the dots as they are stored


@dataclass(frozen=True)
class Scans:
    """Dots [S, 8, 8] from 0, paper, to 1, ink; and the digits [S] that they show."""

    dots_SYX: NDArray[np.float32]
    digits_S: NDArray[np.int64]

    def of(self, digit: int) -> NDArray[np.int64]:
        """The numbers of the scans that show a digit."""
        return np.flatnonzero(self.digits_S == digit)


def load_scans() -> tuple[Scans, Scans]:
    """The scans to learn from, and those held out. Raises InputError where scikit-learn is not installed."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        message = "the scans come with scikit-learn, which is not installed: pip install triptych[handwriting]"
        raise InputError(message) from error
    found = load_digits()
    dots_SYX = (found.images / DARKEST).astype(np.float32)
    held_S = np.isin(np.arange(len(dots_SYX)) // BLOCK, HELD_OUT)
    kept, held = (Scans(dots_SYX[which], found.target[which].astype(np.int64)) for which in (~held_S, held_S))
    return kept, held
