"""Which of transformers' classes prepares images as a size counts them, for a model that came without a checkpoint.

They are named here and not imported: sizes are asked where specs are checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class StandIn(NamedTuple):
    """The class `module:name`, for Pillow, and what it is set to."""

    target: str
    settings: Mapping[str, object]


def stand_in(family: str, name: str, **settings: object) -> StandIn:
    """The class for images of a family of models."""
    return StandIn(f"transformers.models.{family}.image_processing_pil_{family}:{name}ImageProcessorPil", settings)


def square(side: int) -> dict[str, int]:
    """As these classes are told a size."""
    return {"height": side, "width": side}
