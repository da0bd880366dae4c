"""From a value to its shape: a tensor's, a number's, that of nested lists. What has none is told by its index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from triptych.errors import Problem
from triptych.schemas.dims import written
from triptych.schemas.faults import Fault
from triptych.schemas.shape import TensorShape
from triptych.schemas.values import class_name, dtype_name, is_tensor, number_class

MAX_NESTING = 64  # torch's own limit on dims

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Measuring:
    """One look at one field's value, which appends to `faults`.

    `dtypes` and `numbers` are what the field takes of tensors (none: any) and of Python numbers; `given` are the
    symbols whose size is known beforehand: these are not dynamic.
    """

    shape: TensorShape
    dtypes: frozenset[str]
    numbers: frozenset[type]
    given: Mapping[str, int]
    faults: list[Fault]

    def shape_of(self, value: Any, path: str, depth: int = 0) -> Shape | None:
        """The shape of a value, every item of it looked at; None where there is none to tell."""
        if is_tensor(value):
            self._check_dtype(value.dtype, path)
            return tuple(value.shape)
        if isinstance(value, (list, tuple)):
            return self._sequence(value, path, depth)
        if kind := number_class(value):
            self._check_number(value, kind, path)
            return ()
        message = (
            f"expected a tensor, int, float, list or tuple for shape {self._expected()}, found {_described(value)}"
        )
        self.faults.append(Fault(Problem(message, path), wrong_type=True))
        return None

    def _sequence(self, value: Sequence[Any], path: str, depth: int) -> Shape | None:
        if not value or depth == MAX_NESTING:
            found = f"an empty {class_name(value)}" if not value else f"lists nested deeper than {MAX_NESTING}"
            self._refuse(f"expected shape {self._expected()}, found {found}", path)
            return None
        if self._plain_numbers(value):
            return (len(value),)
        shapes = [self.shape_of(item, f"{path}[{place}]", depth + 1) for place, item in enumerate(value)]
        known = [(place, shape) for place, shape in enumerate(shapes) if shape is not None]
        ragged = [(place, shape) for place, shape in known if not self._agree(known[0][1], shape)]
        for place, shape in ragged:
            first = f"{written(known[0][1])} at {path}[{known[0][0]}]"
            found = f"expected shape {self._expected()}, of items that differ in dynamic dims alone"
            self._refuse(f"{found}, found {written(shape)} beside {first}", f"{path}[{place}]")
        return None if ragged or len(known) < len(shapes) else (len(value), *known[0][1])

    def _plain_numbers(self, value: Sequence[Any]) -> bool:
        """Whether all items are numbers that need no look each: a waveform has a hundred thousand."""
        bounded = self.shape.min is not None or self.shape.max is not None
        return not bounded and self.numbers.issuperset(map(type, value))

    def _agree(self, first: Shape, other: Shape) -> bool:
        """Whether two items have one shape but for dynamic dims, these counted from the right."""
        if len(first) != len(other):
            return False
        dims = (*reversed(self.shape.dims), *(None for _ in first))
        return all(
            a == b or self._is_dynamic(d) for a, b, d in zip(reversed(first), reversed(other), dims, strict=False)
        )

    def _is_dynamic(self, dim: int | str | None) -> bool:
        return dim in self.shape.dynamic_dims and dim not in self.given

    def _check_dtype(self, dtype: object, path: str) -> None:
        if self.dtypes and (name := dtype_name(dtype)) not in self.dtypes:
            self._refuse(f"expected dtype {' or '.join(self.shape.dtype)}, found {name}", path, stricter=True)

    def _check_number(self, value: float, kind: type, path: str) -> None:
        if kind not in self.numbers:
            wanted = " or ".join(sorted(taken.__name__ for taken in self.numbers)) or "a tensor"
            problem = Problem(f"expected {wanted}, found {kind.__name__} {value!r}", path)
            self.faults.append(Fault(problem, wrong_type=True, stricter=True))
        low, high = self.shape.min, self.shape.max
        if low is not None and not value >= low:  # `not`: nan is neither
            self._refuse(f"expected at least {low}, found {value!r}", path, stricter=True)
        if high is not None and not value <= high:
            self._refuse(f"expected at most {high}, found {value!r}", path, stricter=True)

    def _refuse(self, message: str, path: str, *, stricter: bool = False) -> None:
        self.faults.append(Fault(Problem(message, path), stricter=stricter))

    def _expected(self) -> str:
        return expected(self.shape, self.given)


def expected(shape: TensorShape, given: Mapping[str, int]) -> str:
    """A shape as messages show it, symbols replaced by the sizes given beforehand."""
    return written((given.get(str(dim), dim) for dim in shape.dims), shape.dynamic_dims)


def _described(value: object) -> str:
    shape, found = getattr(value, "shape", None), class_name(value)
    if found == "numpy.ndarray":
        return f"{found} of shape {written(shape or ())} (torch.from_numpy makes a tensor of it)"
    return found
