"""What YAML may say of the step that puts tiles together."""

from __future__ import annotations

from typing import ClassVar

from triptych.spec.base import PartSpec


class TilesSpec(PartSpec):
    """Tiles of an image into one picture, with a learned row at the end of each line; frames of a video smaller."""

    builds: ClassVar[str | type] = "triptych.parts.tiles:Tiles"
