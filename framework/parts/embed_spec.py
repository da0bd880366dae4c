"""What YAML may say of the embedding of tokens."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt

from triptych.spec.base import Norm, PartSpec, Width

MAX_ROWS = 2**24


class TokensSpec(PartSpec):
    """A row for each token id, times `scale`; `positions` learned rows are added where there are any, after
    `unused` rows of their table that nothing asks for.

    `inner` is the width of the rows of tokens where it is another than the model's, to which a matrix brings them.
    `types` learned rows tell the texts of a pair apart.

    `scales` says of which rows: those of tokens alone, or all that enter the model, those of images too.
    """

    builds: ClassVar[str | type] = "triptych.parts.embed:Tokens"
    vocab: PositiveInt = Field(le=MAX_ROWS)
    scale: FiniteFloat = 1.0
    scales: Literal["tokens", "all"] = "tokens"
    inner: Width | None = None
    positions: PositiveInt | None = Field(None, le=MAX_ROWS)
    unused: NonNegativeInt = Field(0, le=MAX_ROWS)
    types: PositiveInt | None = Field(None, le=MAX_ROWS)
    norm: Norm | None = None
