"""Fields of a schema: what one value is held to, and the sizes of symbols that fields share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from triptych.errors import Problem
from triptych.schemas.arithmetic import Arithmetic, parse
from triptych.schemas.dims import LEADING, is_arithmetic, is_symbol, sizes_of, written
from triptych.schemas.faults import Fault, capped
from triptych.schemas.measure import Measuring, Shape, expected
from triptych.schemas.shape import TensorShape
from triptych.schemas.values import dtype_name, members, nearest, number_class, number_classes, tensor_classes, told


class Sizes:
    """The symbols' sizes in one validation: given beforehand, or bound by the first value seen."""

    __slots__ = ("binders", "given", "known", "pending")

    def __init__(self, given: Mapping[str, int]) -> None:
        self.given = given
        self.known = dict(given)
        self.binders: dict[str, str] = {}
        self.pending: list[tuple[ShapeField, Shape]] = []

    def copy(self) -> Sizes:
        found = Sizes(self.given)
        found.known, found.binders = dict(self.known), dict(self.binders)
        return found

    def settle(self, faults: list[Fault]) -> list[tuple[ShapeField, str]]:
        """Check the arithmetic dims, now that all values have been seen; returns symbols without a size even so."""
        return [
            (field, symbol) for field, shape in self.pending for symbol in field.check_arithmetic(shape, self, faults)
        ]

    def told(self, symbol: str) -> str:
        """A symbol and what bound it."""
        return f"{symbol!r}, bound by {self.binders.get(symbol, 'resolve_bindings')}"


class Field(Protocol):
    """One field: `default` stands for a value that is not given; `check` takes all values but None."""

    @property
    def name(self) -> str: ...
    @property
    def optional(self) -> bool: ...
    @property
    def default(self) -> Any: ...
    def check(self, value: Any, sizes: Sizes, faults: list[Fault]) -> None: ...


@dataclass(frozen=True, slots=True)
class ShapeField:
    """A field with a TensorShape. Its dims are kept by kind, each with its place from the right: -1 is the last."""

    name: str
    shape: TensorShape
    optional: bool = False
    default: Any = None
    leading: bool = field(init=False)
    rank: int = field(init=False)
    exact: tuple[tuple[int, int], ...] = field(init=False)
    bound: tuple[tuple[int, str], ...] = field(init=False)
    dynamic: tuple[tuple[int, str], ...] = field(init=False)
    arithmetic: tuple[tuple[int, Arithmetic], ...] = field(init=False)
    dtypes: frozenset[str] = field(init=False)
    numbers: frozenset[type] = field(init=False)

    def __post_init__(self) -> None:
        shape, leading = self.shape, LEADING in self.shape.dims[:1]
        dims = shape.dims[leading:]
        placed = list(zip(range(-len(dims), 0), dims, strict=True))
        symbols = [(place, dim) for place, dim in placed if is_symbol(dim)]
        compiled = {
            "leading": leading,
            "rank": len(dims),
            "exact": tuple((place, dim) for place, dim in placed if isinstance(dim, int)),
            "bound": tuple((place, dim) for place, dim in symbols if dim not in shape.dynamic_dims),
            "dynamic": tuple((place, dim) for place, dim in symbols if dim in shape.dynamic_dims),
            "arithmetic": tuple((place, parse(dim)) for place, dim in placed if is_arithmetic(dim)),
            "dtypes": members(shape.dtype),
            "numbers": number_classes(shape.dtype) if shape.dtype else frozenset({int, float}),
        }
        for name, value in compiled.items():
            object.__setattr__(self, name, value)

    def check(self, value: Any, sizes: Sizes, faults: list[Fault]) -> None:
        """Append what is wrong with a value; bind the symbols that it is the first to give a size."""
        shape: Shape | None
        if type(value) in tensor_classes and (not self.dtypes or dtype_name(value.dtype) in self.dtypes):
            shape = value.shape
        else:
            found: list[Fault] = []
            shape = Measuring(self.shape, self.dtypes, self.numbers, sizes.given, found).shape_of(value, self.name)
            faults += capped(found, self.name)
        if shape is not None and (wrong := self._misfits(shape, sizes)):
            faults.append(self._fault(shape, "; ".join(wrong), sizes))

    def _misfits(self, shape: Shape, sizes: Sizes) -> list[str]:
        rank, known = len(shape), sizes.known
        if rank != self.rank and not (self.leading and rank > self.rank):
            return [f"rank {rank}, not {'at least ' * self.leading}{self.rank}"]
        wrong = []
        for place, wanted in self.exact:
            if shape[place] != wanted:
                wrong.append(f"dim {rank + place} must be {wanted}, not {shape[place]}")
        for place, symbol in self.bound:
            if symbol not in known:
                known[symbol], sizes.binders[symbol] = shape[place], self.name
            elif shape[place] != known[symbol]:
                wrong.append(f"dim {rank + place} must be {known[symbol]} ({sizes.told(symbol)}), not {shape[place]}")
        for place, symbol in self.dynamic:
            if symbol in sizes.given and shape[place] != (wanted := sizes.given[symbol]):
                wrong.append(f"dim {rank + place} must be {wanted} ({sizes.told(symbol)}), not {shape[place]}")
        if self.arithmetic:
            sizes.pending.append((self, shape))
        return wrong

    def check_arithmetic(self, shape: Shape, sizes: Sizes, faults: list[Fault]) -> Iterator[str]:
        """Hold the sizes that arithmetic decides to it; yields the symbols that have no size."""
        for place, dim in self.arithmetic:
            if missing := [symbol for symbol in dim.symbols if symbol not in sizes.known]:
                yield from missing
            elif wrong := self._miscounted(dim, shape[place], sizes):
                faults.append(self._fault(shape, f"dim {len(shape) + place}{wrong}", sizes))

    def _miscounted(self, dim: Arithmetic, size: int, sizes: Sizes) -> str:
        given = sizes_of(dim.symbols, sizes.known)
        try:
            wanted = dim.evaluate(sizes.known)
        except ZeroDivisionError:
            return f", {dim.text!r}, divides by zero with {given}"
        return "" if wanted == size else f" must be {wanted} ({dim.text!r} with {given}), not {size}"

    def _fault(self, shape: Shape, wrong: str, sizes: Sizes) -> Fault:
        message = f"expected shape {expected(self.shape, sizes.given)}, found {written(shape)}: {wrong}"
        return Fault(Problem(message, self.name))


@dataclass(frozen=True, slots=True)
class PlainField:
    """A field without a shape: one of `literals`, or of one of `classes`; with neither, whatever is there."""

    name: str
    literals: tuple[Any, ...] = ()
    classes: tuple[type, ...] = ()
    optional: bool = False
    default: Any = None

    def check(self, value: Any, _: Sizes, faults: list[Fault]) -> None:
        """Append a fault where the value is none of those."""
        if any(literal == value for literal in self.literals if type(literal) is type(value)):
            return
        if self.literals and not self.classes:
            near = nearest(value, [word for word in self.literals if isinstance(word, str)])
            faults.append(Fault(Problem(f"expected {self._wanted()}, found {told(value)}{near}", self.name)))
        elif self.classes and not any(_is_a(value, kind) for kind in self.classes):
            faults.append(Fault(Problem(f"expected {self._wanted()}, found {told(value)}", self.name), wrong_type=True))

    def _wanted(self) -> str:
        return " or ".join([*map(repr, self.literals), *(kind.__qualname__ for kind in self.classes)])


def _is_a(value: object, kind: type) -> bool:
    """Python's own sense of it, but that a bool is no number; an int does for a float."""
    if kind is int or kind is float:
        return number_class(value) in ({int} if kind is int else {int, float})
    return isinstance(value, kind)


@dataclass(frozen=True, slots=True)
class LenientField:
    """A field that the convention does not look at: what is wrong with it is listed, and binds no symbol."""

    field: Field

    @property
    def name(self) -> str:
        return self.field.name

    @property
    def optional(self) -> bool:
        return self.field.optional

    @property
    def default(self) -> Any:
        return self.field.default

    def check(self, value: Any, sizes: Sizes, faults: list[Fault]) -> None:
        found: list[Fault] = []
        trial = sizes.copy()
        self.field.check(value, trial, found)
        trial.settle(found)
        faults += [replace(fault, stricter=True) for fault in found]
