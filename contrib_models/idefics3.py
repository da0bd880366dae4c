"""How Idefics3 writes the tiles of an image in a prompt: each under its line and column, the whole last."""

from __future__ import annotations

from typing import Protocol

from triptych import InputError, PartSpec


class Tiles(Protocol):
    """The grid of an image that is cut into `down` x `across` tiles, or of one that is not cut."""

    down: int
    across: int


class TileTexts(PartSpec):
    """`around` stands before each picture and at the end, `whole` before that of the whole; lines end in a new line."""

    around: str = "<fake_token_around_image>"
    whole: str = "<global-img>"

    def __call__(self, count: int, grid: Tiles | None) -> list[str | int]:
        """Raises InputError for rows that are encoded already: they do not say which tiles they are of."""
        if grid is None:
            told = "and texts stand between those of its tiles"
            raise InputError(f"{count} rows that are encoded already do not say how their image was cut, {told}")
        each, text, found = count // (grid.down * grid.across + 1), "", list[str | int]()
        for line in range(1, grid.down + 1):
            for column in range(1, grid.across + 1):
                found += [f"{text}{self.around}<row_{line}_col_{column}>", each]
                text = ""
            text = "\n"
        text += "\n" if grid.down else ""
        return [*found, f"{text}{self.around}{self.whole}", each, self.around]
