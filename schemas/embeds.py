"""Rows that were encoded elsewhere, held to the width and the kind of numbers of the model that they are given to."""

from __future__ import annotations

from collections.abc import Iterator

from triptych.errors import InputError, InputTypeError, Problem
from triptych.schemas.dims import written
from triptych.schemas.values import GROUPS, dtype_name, is_tensor, told


def check_embeds(embeds: object, *, width: int, path: str = "embeds") -> None:
    """Check embeds: rows [n, width] of each item in a list, or one [items, n, width]; floats, on whichever device.

    No value is read. Raises InputError with everything that is wrong, each under `path[number]`; also a TypeError for
    what is no tensor and no list.
    """
    _refuse(_whole(embeds, width, path) if is_tensor(embeds) else _listed(embeds, width, path))


def check_item_embeds(rows: object, *, width: int | None, path: str) -> None:
    """Check the embeds of one item, [n, width], as `check_embeds` does; of any width where it is None."""
    _refuse(_rows(rows, ("n", "width" if width is None else width), path))


Wrong = Iterator[tuple[Problem, bool]]  # and whether it is a matter of a Python type


def _refuse(found: Wrong) -> None:
    if problems := list(found):
        wrong_type = any(mistyped for _, mistyped in problems)
        raise (InputTypeError if wrong_type else InputError)(problem for problem, _ in problems)


def _whole(embeds: object, width: int, path: str) -> Wrong:
    yield from _rows(embeds, ("items", "n", width), path)


def _listed(embeds: object, width: int, path: str) -> Wrong:
    if not isinstance(embeds, (list, tuple)):
        wanted = f"a list of tensors {written(('n', width))}, or one tensor {written(('items', 'n', width))}"
        yield Problem(f"expected {wanted}, found {told(embeds)}", path), True
        return
    for number, rows in enumerate(embeds):
        yield from _rows(rows, ("n", width), f"{path}[{number}]")


def _rows(rows: object, wanted: tuple[str | int, ...], path: str) -> Wrong:
    if not is_tensor(rows):
        yield Problem(f"expected a tensor of shape {written(wanted)}, found {told(rows)}", path), True
        return
    if rows.ndim != len(wanted) or (isinstance(wanted[-1], int) and rows.shape[-1] != wanted[-1]):
        yield (
            Problem(f"expected shape {written(wanted)}, found {written(rows.shape)}{_why(rows.ndim, wanted)}", path),
            False,
        )
    if (dtype := dtype_name(rows.dtype)) not in GROUPS["float"]:
        yield Problem(f"expected dtype float, found {dtype}", path), False


def _why(rank: int, wanted: tuple[str | int, ...]) -> str:
    if rank == len(wanted):
        return f": the rows of this model are {wanted[-1]} wide"
    return ": rows of one item are given in a list of one" if rank == 2 else ""
