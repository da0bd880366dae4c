"""Height and width of what need not be square, as YAML says them."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import BeforeValidator, Field, PositiveInt

Side = Annotated[PositiveInt, Field(le=2**12)]  # pixels, or places of a grid


class Size(NamedTuple):
    """Of an image, a patch or a grid."""

    height: Side
    width: Side


def said(size: Size) -> int | str:
    """One number for a square."""
    return size.height if size.height == size.width else f"{size.height} x {size.width}"


def _of_a_square(value: object) -> object:
    return [value, value] if isinstance(value, int) else value


Sides = Annotated[Size, BeforeValidator(_of_a_square, json_schema_input_type=Side | Size)]  # one number says both
