"""Files with a row on each line, JSON objects or plain texts, checked and read without keeping them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import NoReturn

from triptych.errors import InputError, Place, Problem, short, suggest

LONGEST = 2**24  # bytes of a line; what has no line ends must not be read whole
TOLD = 100  # mistakes that are told one by one

Row = Mapping[str, object]


@dataclass(frozen=True)
class Fields:
    """What a row must have, what it may have, each a text; and what is written beside these, which it must not have."""

    needed: Sequence[str]
    optional: Sequence[str] = ()
    written: Sequence[str] = ()


@dataclass(frozen=True)
class Checked:
    """How many rows a file has, and the SHA-256 of its content."""

    rows: int
    digest: str


@dataclass(frozen=True)
class Lines:
    """A file of rows. With `plain` each line is a text as it stands, the field of that name."""

    path: Path
    plain: str | None = None

    def check(self, fields: Fields) -> Checked:
        """Read it once. Raises InputError with every line that has no such row, OSError for what cannot be read."""
        if not self.path.is_file():
            raise InputError(f"{self.path}: no such file; one is wanted that can be read more than once")
        digest, rows, told = sha256(), 0, Told()
        for number, line in self._lines():
            digest.update(line)
            told.add(self._mistakes(number, line, fields))
            rows = number
        told.check()
        return Checked(rows, digest.hexdigest())

    def rows(self, *, after: int = 0) -> Iterator[tuple[int, Row]]:
        """Numbers of lines, from 1, and their rows, but for the first `after`; of a file that was checked."""
        for number, line in islice(self._lines(), after, None):
            yield number, self._row(number, line)

    def place(self, number: int, column: int = 1) -> Place:
        """Where a line stands."""
        return Place(str(self.path), number, column)

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        with open(self.path, "rb") as file:
            number = 0
            while line := file.readline(LONGEST + 1):
                number += 1
                if len(line) > LONGEST:
                    message = f"is longer than {LONGEST:,} bytes; is this a file of lines?"
                    raise InputError(message, place=self.place(number))
                yield number, line

    def _row(self, number: int, line: bytes) -> Row:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        if self.plain is not None:
            return {self.plain: text.removesuffix("\n").removesuffix("\r")}
        row: Row = json.loads(text.rstrip(), parse_constant=_refused, parse_float=_finite)
        return row

    def _mistakes(self, number: int, line: bytes, fields: Fields) -> Iterator[Problem]:
        try:
            row = self._row(number, line)
            json.dumps(row, ensure_ascii=False).encode()
        except json.JSONDecodeError as error:
            yield Problem(f"is no JSON: {error.msg}; found {_cut(line)}", place=self.place(number, error.colno))
        except UnicodeDecodeError:
            yield Problem("is not UTF-8 text", place=self.place(number))
        except UnicodeEncodeError:
            yield Problem("holds half of a character (a lone surrogate)", place=self.place(number))
        except RecursionError:
            yield Problem("is nested too deep", place=self.place(number))
        except ValueError as error:  # of a number
            yield Problem(f"is no JSON: {error}", place=self.place(number))
        else:
            yield from self._wrong_fields(number, row, fields)

    def _wrong_fields(self, number: int, row: object, fields: Fields) -> Iterator[Problem]:
        place = self.place(number)
        if not isinstance(row, dict):
            yield Problem(f"an object is wanted, not {short(row)}", place=place)
            return
        for name in [*fields.needed, *(name for name in fields.optional if name in row)]:
            if name not in row:
                yield Problem(f"is not there{suggest(name, row)}", name, place)
            elif not isinstance(row[name], str):
                yield Problem(f"a text is wanted, not {short(row[name])}", name, place)
        for name in fields.written:
            if name in row:
                yield Problem("is there already, and is what would be written", name, place)


class Told:
    """Mistakes that are found while a file is read; the first of them are kept, the others counted."""

    def __init__(self) -> None:
        self._kept, self._more = list[Problem](), 0

    def add(self, problems: Iterable[Problem]) -> None:
        """Keep these, or count them once there are many."""
        for problem in problems:
            if len(self._kept) < TOLD:
                self._kept.append(problem)
            else:
                self._more += 1

    def check(self) -> None:
        """Raise InputError with all of them, if there is any."""
        if self._kept:
            more = [Problem(f"... and {self._more:,} more")] if self._more else []
            raise InputError([*self._kept, *more])


def _refused(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


def _finite(text: str) -> float:
    if not isfinite(found := float(text)):
        raise ValueError(f"{short(text)} is more than a number can hold")
    return found


def _cut(line: bytes) -> str:
    return short(line.decode("utf-8", "replace").rstrip("\r\n"))
