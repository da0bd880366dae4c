"""How MiniCPM-V writes the slices of an image in a prompt, line by line, between marks; and the frames of a video."""

from __future__ import annotations

from typing import Literal, Protocol

from triptych import InputError, PartSpec

IMAGE, SLICE = ("<image>", "</image>"), ("<slice>", "</slice>")


class Sliced(Protocol):
    """`t` pictures, the last `down` x `across` of them slices of an image; what is not cut has none of these."""

    t: int
    down: int
    across: int


class SliceTexts(PartSpec):
    """The whole stands between the marks of an image; lines of slices follow, a new line between each two.

    Frames of a video are images that are not cut, a new line between each two.

    `slices` says what is marked as a slice: each of them (2.6 and later), or all together, where each is an image
    (2.5).
    """

    slices: Literal["each", "all"] = "each"

    def __call__(self, count: int, grid: Sliced | None) -> list[str | int]:
        """Raises InputError for rows that are encoded already: they do not say which slices they are of."""
        if grid is None:
            told = "and texts stand between those of its slices"
            raise InputError(f"{count} rows that are encoded already do not say how their image was cut, {told}")
        each = count // grid.t
        one: list[str | int] = [IMAGE[0], each, IMAGE[1]]
        whole = [*one, *["\n", *one] * (grid.t - grid.down * grid.across - 1)]
        if not grid.down:
            return whole
        start, end = SLICE if self.slices == "each" else IMAGE
        line: list[str | int] = [start, each, end] * grid.across
        lines: list[str | int] = [*line, *["\n", *line] * (grid.down - 1)]
        return [*whole, *lines] if self.slices == "each" else [*whole, SLICE[0], *lines, SLICE[1]]
