"""Dims of a shape: symbols, arithmetic on them, leading dots; how they resolve and print."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TypeGuard

from triptych.errors import SchemaError
from triptych.schemas.arithmetic import parse

LEADING = "..."


def written(dims: Iterable[object], dynamic: Collection[str] = ()) -> str:
    """A shape as messages show it: `(bn, p*, 3)`, dynamic symbols with a star."""
    return f"({', '.join(f'{dim}*' if dim in dynamic else str(dim) for dim in dims)})"


def is_symbol(dim: object) -> TypeGuard[str]:
    return isinstance(dim, str) and dim.isidentifier()


def is_arithmetic(dim: object) -> TypeGuard[str]:
    return isinstance(dim, str) and dim != LEADING and not dim.isidentifier()


def operands(dim: object) -> tuple[str, ...]:
    """The symbols that an arithmetic dim asks for. Raises SchemaError where it cannot be read."""
    return parse(dim).symbols if is_arithmetic(dim) else ()


def resolved(dim: int | str, bindings: Mapping[str, int]) -> int | str:
    """A dim as far as sizes decide it. Raises SchemaError where arithmetic divides by zero."""
    if is_symbol(dim):
        return bindings.get(dim, dim)
    if not is_arithmetic(dim) or not bindings.keys() >= set((found := parse(dim)).symbols):
        return dim
    try:
        return found.evaluate(bindings)
    except ZeroDivisionError:
        raise SchemaError(f"{dim!r} divides by zero with {sizes_of(found.symbols, bindings)}") from None


def sizes_of(symbols: Iterable[str], sizes: Mapping[str, int]) -> str:
    """`h=336, p=14`."""
    return ", ".join(f"{symbol}={sizes[symbol]}" for symbol in symbols)
