"""What a shape may be made of: every mistake in its dims and options is told."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from triptych.errors import Problem, SchemaError, short, suggest
from triptych.schemas.dims import LEADING, is_symbol, operands
from triptych.schemas.values import DTYPES, GROUPS, class_name, dtype_name, told


class Wrong(NamedTuple):
    """One mistake in a shape: in which option, of a dim its place, and whether it is a matter of a Python type."""

    option: str
    message: str
    wrong_type: bool = False
    place: int | None = None

    @property
    def problem(self) -> Problem:
        return Problem(self.message, self.option if self.place is None else f"{self.option}[{self.place}]")


def wrong_options(dims: Sequence[object], dynamic: object, dtype: object, low: object, high: object) -> Iterator[Wrong]:
    """All that keeps a TensorShape from being made of these."""
    for place, dim in enumerate(dims):
        if message := _wrong_dim(dim, place):
            is_dim = isinstance(dim, (int, str)) and not isinstance(dim, bool)
            yield Wrong("dims", message, not is_dim, place)
    yield from _wrong_dynamic(dynamic, dims)
    for name in dtype_names(dtype):
        if name not in DTYPES | GROUPS.keys():
            yield Wrong("dtype", f"unknown dtype {name!r}{suggest(name, [*GROUPS, *DTYPES])}")
    yield from _wrong_bounds(low, high)


def _wrong_dim(dim: object, place: int) -> str:
    if isinstance(dim, bool) or not isinstance(dim, (int, str)):
        return f"a dim is a whole number or a string, not {short(dim)} ({class_name(dim)})"
    if isinstance(dim, int) and dim < 0:
        return f"a dim is at least 0, not {dim}"
    if dim == LEADING and place:
        return "'...' stands for leading dims, so it comes first"
    try:
        operands(dim)
    except SchemaError as error:
        return str(error)
    return ""


def _wrong_dynamic(dynamic: object, dims: Sequence[object]) -> Iterator[Wrong]:
    if isinstance(dynamic, str) or not isinstance(dynamic, Collection | None):
        yield Wrong("dynamic_dims", f"expected a set or a list of symbols, found {told(dynamic)}", wrong_type=True)
        return
    symbols = [dim for dim in dims if is_symbol(dim)]
    asked = {name for place, dim in enumerate(dims) if not _wrong_dim(dim, place) for name in operands(dim)}
    for name in dynamic or ():
        if not isinstance(name, str):
            yield Wrong("dynamic_dims", f"a symbol is a string, not {told(name)}", wrong_type=True)
        elif name not in symbols:
            yield Wrong("dynamic_dims", f"{name!r} is no symbol among the dims{suggest(name, symbols)}")
        elif name in asked:
            yield Wrong("dynamic_dims", f"{name!r} is dynamic, so never bound, and arithmetic asks for it")


def _wrong_bounds(low: object, high: object) -> Iterator[Wrong]:
    bounds = {"min": low, "max": high}
    wrong = {n: b for n, b in bounds.items() if isinstance(b, bool) or not isinstance(b, int | float | None)}
    for name, bound in wrong.items():
        yield Wrong(name, f"a bound is a number, not {told(bound)}", wrong_type=True)
    if not wrong and isinstance(low, (int, float)) and isinstance(high, (int, float)) and low > high:
        yield Wrong("min", f"nothing is at least {low} and at most {high}")


def dtype_names(dtype: object) -> tuple[str, ...]:
    """The names in a dtype, or in a collection of them."""
    if dtype is None:
        return ()
    return tuple(map(dtype_name, dtype if isinstance(dtype, Collection) and not isinstance(dtype, str) else (dtype,)))
