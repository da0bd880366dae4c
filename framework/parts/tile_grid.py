"""How an image of any size lies when it is cut into tiles: the numbers that sizes count and that projectors cut by."""

from __future__ import annotations

from typing import NamedTuple


class TileGrid(NamedTuple):
    """`t` pictures of `h` x `w` rows: a small one of the whole image, then the tiles of a canvas, line by line.

    The canvas is `down` x `across` tiles. The image fills the middle `high` x `wide` rows of it, which are brought to
    `rows` x `columns`. Of a video the pictures are its frames: there is no canvas, and each frame is brought to
    `rows` x `columns`.
    """

    t: int
    h: int
    w: int
    down: int
    across: int
    high: int
    wide: int
    rows: int
    columns: int
