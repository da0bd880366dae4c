"""From the size of an item to the grid of its rows. No torch: prompts are expanded by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import model_validator

from triptych.parts.grid import Grid
from triptych.spec.base import PartSpec, Width


class Fixed(PartSpec):
    """Every image becomes a square of `image` pixels, cut in squares of `patch`; what is left over is not seen."""

    image: Width
    patch: Width

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.patch > self.image:
            raise ValueError(f"a patch of {self.patch} pixels does not fit in an image of {self.image}")
        return self

    @property
    def largest(self) -> tuple[int, int]:
        """Height and width of an item that takes the most rows: here they all take as many."""
        return self.image, self.image

    def __call__(self, height: int, width: int, processor: Mapping[str, Any]) -> Grid:  # noqa: ARG002
        """Height and width in pixels and the processor's own config -> the grid."""
        side = self.image // self.patch
        return Grid(1, side, side)
