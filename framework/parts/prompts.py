"""What items become in a prompt, where that hangs on how their rows lie. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt, model_validator

from triptych.errors import InputError
from triptych.parts.grid import Grid
from triptych.spec.base import BaseSpec, PartSpec
from triptych.spec.form_types import PLACEHOLDER


class WithCrops(PartSpec):
    """An image between `before` and `after`. One that has crops stands behind the text `whole`, then come the text
    `crops` and these, each between the two texts of an image, and `between` each two.
    """

    before: str = Field(min_length=1)
    after: str = Field(min_length=1)
    whole: str
    crops: str
    between: str

    @property
    def edges(self) -> tuple[str, str]:
        """What stands around an image without crops."""
        return self.before, self.after

    def __call__(self, count: int, grid: Grid | None) -> list[str | int]:
        """Rows that are encoded already are those of an image without crops."""
        if grid is None or grid.t == 1:
            return [self.before, count, self.after]
        each, found = count // grid.t, [self.whole + self.before]
        rest = [self.crops, *[self.between] * (grid.t - 2)]
        return [*found, each, *(p for text in rest for p in (self.after + text + self.before, each)), self.after]


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


class MomentFact(BaseSpec):
    """What a text says of a moment of a video: its `seconds`, with so many decimals, or its `number`, the first's being
    that which is given.
    """

    seconds: NonNegativeInt | None = Field(None, le=9)
    number: NonNegativeInt | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.seconds is None) == (self.number is None):
            raise ValueError("`seconds` or `number` is wanted")
        return self

    def __call__(self, number: int, seconds: float) -> str:
        """The fact of the moment of that number, from 0."""
        return str(number + self.number) if self.number is not None else f"{seconds:.{self.seconds}f}"


def _once(pieces: tuple[str | MomentFact, ...]) -> tuple[str | MomentFact, ...]:
    if pieces.count(PLACEHOLDER) != 1:
        raise ValueError(f"`{PLACEHOLDER}` is wanted, once and with texts and facts of a moment around it")
    return pieces


class MomentTexts(PartSpec):
    """The placeholders of a video moment by moment: `each` is what stands for one, its `placeholder` and texts.

    A text may be a fact of the moment: `{seconds: 1}` is the middle of it with one decimal, `{number: 1}` its number.
    """

    timed: ClassVar[Literal[True]] = True
    each: Annotated[tuple[str | MomentFact, ...], AfterValidator(_once)]

    def __call__(self, count: int, grid: Grid | None, *, seconds: Sequence[float]) -> list[str | int]:
        """Raises InputError for rows that are encoded already and do not say how many moments they are of."""
        if grid is None:
            wanted = "texts stand between moments; give their grid beside them"
            raise InputError(f"{count} rows that are encoded already do not say how they lie, and {wanted}")
        found, text = list[str | int](), ""
        for number, middle in enumerate(seconds):
            for piece in self.each:
                if piece == PLACEHOLDER:
                    found, text = [*found, *([text] if text else []), count // grid.t], ""
                else:
                    text += piece(number, middle) if isinstance(piece, MomentFact) else piece
        return [*found, *([text] if text else [])]
