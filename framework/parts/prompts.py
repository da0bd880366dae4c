"""What items become in a prompt, where that hangs on how their rows lie. No torch."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from triptych.errors import InputError
from triptych.parts.grid import Grid
from triptych.spec.base import PartSpec


class Lines(PartSpec):
    """The placeholders of a picture line by line: `between` each two lines a text, and `end` after the last.

    A line is that of the tower, or of `side` x `side` neighbours that are joined.
    """

    between: str = Field(min_length=1)
    end: str = Field(min_length=1)
    side: PositiveInt = 1

    def __call__(self, count: int, grid: Grid | None) -> list[str | int]:
        """Raises InputError for rows that are encoded already: they do not say how they lie."""
        if grid is None:
            wanted = f"{self.between!r} stands between lines"
            raise InputError(f"{count} rows that are encoded already do not say how they lie, and {wanted}")
        height, width = grid.h // self.side, grid.w // self.side
        inner = [piece for _ in range(height - 1) for piece in (width, self.between)]
        return [*inner, width, self.end]
