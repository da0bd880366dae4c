"""`TensorShape`: the dims, the dtype and the bounds that a field's values must have."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from types import EllipsisType
from typing import TYPE_CHECKING

from triptych.errors import SchemaError, SchemaTypeError
from triptych.schemas.dims import LEADING, is_symbol, operands, resolved, written
from triptych.schemas.options import dtype_names, wrong_options

if TYPE_CHECKING:
    import torch


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
        if wrong := list(wrong_options(given, dynamic_dims, dtype, min, max)):
            raise (SchemaTypeError if any(w.wrong_type for w in wrong) else SchemaError)(w.problem for w in wrong)
        dynamic = frozenset(dynamic_dims or ())
        vars(self).update(dims=given, dynamic_dims=dynamic, dtype=dtype_names(dtype), min=min, max=max)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols that stand in a place of their own, in order."""
        return tuple(dict.fromkeys(dim for dim in self.dims if is_symbol(dim)))

    @property
    def operands(self) -> tuple[str, ...]:
        """The symbols that arithmetic dims ask for, in order."""
        return tuple(dict.fromkeys(name for dim in self.dims for name in operands(dim)))

    def resolve(self, /, **bindings: int) -> tuple[int | str, ...]:
        """The dims, known symbols replaced by their sizes; arithmetic is worked out once all its symbols are known.

        Raises SchemaError when arithmetic divides by zero.
        """
        return tuple(resolved(dim, bindings) for dim in self.dims)

    def __str__(self) -> str:
        return written(self.dims, self.dynamic_dims)

    def __repr__(self) -> str:
        dims = [repr(dim) for dim in self.dims]
        options = {"dynamic_dims": set(self.dynamic_dims), "dtype": self.dtype, "min": self.min, "max": self.max}
        dims += [f"{name}={value!r}" for name, value in options.items() if value not in (None, (), set())]
        return f"TensorShape({', '.join(dims)})"
