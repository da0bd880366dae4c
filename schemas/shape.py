"""`TensorShape`: the dims, the dtype and the bounds that a field's values must have."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import EllipsisType
from typing import TYPE_CHECKING, TypeGuard

from triptych.errors import Problem, SchemaError, SchemaTypeError, short, suggest
from triptych.schemas import arithmetic
from triptych.schemas.values import DTYPES, GROUPS, dtype_name

if TYPE_CHECKING:
    import torch

LEADING = "..."


@dataclass(frozen=True, init=False, repr=False)
class TensorShape:
    """Dims of a tensor, of nested lists of numbers or tensors, or, with no dims, of one number.

    A dim is a whole number (exact), a symbol (the first value seen in a schema's values binds it), `...` or `"..."` in
    first place (any leading dims), or arithmetic on symbols (`"h//p"`). Symbols in `dynamic_dims` are neither bound nor
    compared. `dtype` names torch dtypes or the groups float, int and bool; without it any will do, but a Python bool is
    then no number. `min` and `max` bound Python numbers; values inside tensors are never read.

    Raises SchemaError, also a TypeError when a dim is of another type, with all that is wrong.
    """

    dims: tuple[int | str, ...]
    dynamic_dims: frozenset[str]
    dtype: tuple[str, ...]
    min: float | None
    max: float | None

    def __init__(
        self,
        *dims: int | str | EllipsisType,
        dynamic_dims: Collection[str] | None = None,
        dtype: str | torch.dtype | Collection[str | torch.dtype] | None = None,
        min: float | None = None,
        max: float | None = None,
    ) -> None:
        given = tuple(LEADING if dim is ... else dim for dim in dims)
        dynamic, dtypes = () if dynamic_dims is None else dynamic_dims, _dtype_names(dtype)
        wrong = [*_wrong_dims(given), *_wrong_dynamic(dynamic, given), *_wrong_dtypes(dtypes), *_wrong_bounds(min, max)]
        if wrong:
            raise (SchemaTypeError if any(t for _, t in wrong) else SchemaError)(problem for problem, _ in wrong)
        vars(self).update(dims=given, dynamic_dims=frozenset(dynamic), dtype=dtypes, min=min, max=max)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols that stand in a place of their own, in order."""
        return tuple(dict.fromkeys(dim for dim in self.dims if is_symbol(dim)))

    @property
    def operands(self) -> tuple[str, ...]:
        """The symbols that arithmetic dims ask for, in order."""
        asked = (name for dim in self.dims if is_arithmetic(dim) for name in arithmetic.parse(dim).symbols)
        return tuple(dict.fromkeys(asked))

    def resolve(self, /, **bindings: int) -> tuple[int | str, ...]:
        """The dims, known symbols replaced by their sizes; arithmetic is worked out once all its symbols are known.

        Raises SchemaError when arithmetic divides by zero.
        """
        return tuple(_resolved(dim, bindings) for dim in self.dims)

    def __str__(self) -> str:
        return written(self.dims, self.dynamic_dims)

    def __repr__(self) -> str:
        dims = [repr(dim) for dim in self.dims]
        options = {"dynamic_dims": set(self.dynamic_dims), "dtype": self.dtype, "min": self.min, "max": self.max}
        dims += [f"{name}={value!r}" for name, value in options.items() if value not in (None, (), set())]
        return f"TensorShape({', '.join(dims)})"


def written(dims: Iterable[object], dynamic: Collection[str] = ()) -> str:
    """A shape as messages show it: `(bn, p*, 3)`, dynamic symbols with a star."""
    return f"({', '.join(f'{dim}*' if dim in dynamic else str(dim) for dim in dims)})"


def is_symbol(dim: object) -> TypeGuard[str]:
    return isinstance(dim, str) and dim.isidentifier()


def is_arithmetic(dim: object) -> TypeGuard[str]:
    return isinstance(dim, str) and dim != LEADING and not dim.isidentifier()


def _resolved(dim: int | str, bindings: Mapping[str, int]) -> int | str:
    if is_symbol(dim):
        return bindings.get(dim, dim)
    if not is_arithmetic(dim) or not bindings.keys() >= set((found := arithmetic.parse(dim)).symbols):
        return dim
    try:
        return found.evaluate(bindings)
    except ZeroDivisionError:
        raise SchemaError(f"{dim!r} divides by zero with {sizes_of(found.symbols, bindings)}") from None


def sizes_of(symbols: Iterable[str], sizes: Mapping[str, int]) -> str:
    """`h=336, p=14`."""
    return ", ".join(f"{symbol}={sizes[symbol]}" for symbol in symbols)


def _dtype_names(dtype: object) -> tuple[str, ...]:
    if dtype is None:
        return ()
    return tuple(map(dtype_name, dtype if isinstance(dtype, Collection) and not isinstance(dtype, str) else (dtype,)))


_Wrong = Iterator[tuple[Problem, bool]]  # what is wrong, and whether it is a matter of a Python type


def _wrong_dims(dims: tuple[object, ...]) -> _Wrong:
    for place, dim in enumerate(dims):
        path = f"dims[{place}]"
        if isinstance(dim, bool) or not isinstance(dim, (int, str)):
            yield Problem(f"a dim is a whole number or a string, not {short(dim)} ({type(dim).__name__})", path), True
        elif isinstance(dim, int) and dim < 0:
            yield Problem(f"a dim is at least 0, not {dim}", path), False
        elif dim == LEADING and place:
            yield Problem("'...' stands for leading dims, so it comes first", path), False
        elif is_arithmetic(dim):
            try:
                arithmetic.parse(str(dim))
            except SchemaError as error:
                yield Problem(str(error), path), False


def _wrong_dynamic(dynamic: object, dims: tuple[object, ...]) -> _Wrong:
    if isinstance(dynamic, str) or not isinstance(dynamic, Collection):
        yield Problem(f"the symbols that are dynamic, as a set or a list, not {short(dynamic)}", "dynamic_dims"), True
        return
    symbols = [str(dim) for dim in dims if is_symbol(dim)]
    asked = {name for dim in dims for name in _operands(dim)}
    for name in dynamic:
        if not isinstance(name, str):
            yield Problem(f"a symbol is a string, not {short(name)}", "dynamic_dims"), True
        elif name not in symbols:
            yield Problem(f"{name!r} is no symbol among the dims{suggest(name, symbols)}", "dynamic_dims"), False
        elif name in asked:
            yield Problem(f"{name!r} is dynamic, so never bound, and arithmetic asks for it", "dynamic_dims"), False


def _operands(dim: object) -> tuple[str, ...]:
    try:
        return arithmetic.parse(str(dim)).symbols if is_arithmetic(dim) else ()
    except SchemaError:  # told among the dims
        return ()


def _wrong_dtypes(dtypes: tuple[str, ...]) -> _Wrong:
    for name in dtypes:
        if name not in DTYPES | GROUPS.keys():
            yield Problem(f"unknown dtype {name!r}{suggest(name, [*GROUPS, *sorted(DTYPES)])}", "dtype"), False


def _wrong_bounds(low: object, high: object) -> _Wrong:
    bounds = {"min": low, "max": high}
    wrong = {
        name: b for name, b in bounds.items() if isinstance(b, bool) or not isinstance(b, (int, float, type(None)))
    }
    for name, bound in wrong.items():
        yield Problem(f"a bound is a number, not {short(bound)}", name), True
    if not wrong and isinstance(low, (int, float)) and isinstance(high, (int, float)) and low > high:
        yield Problem(f"nothing is at least {low} and at most {high}", "min"), False
