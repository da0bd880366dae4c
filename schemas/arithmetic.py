"""Arithmetic on the symbols of a shape, `h//p`: whole numbers, + - * // and parentheses. Read with ast, never eval."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from triptych.errors import SchemaError

MAX_CHARACTERS = 100

_Evaluate = Callable[[Mapping[str, int]], int]
_OPERATORS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
}


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """A dim that other dims decide. `evaluate` takes a size for each of `symbols`; it may divide by zero."""

    text: str
    symbols: tuple[str, ...]
    evaluate: _Evaluate = field(compare=False, repr=False)


@lru_cache(maxsize=1024)
def parse(text: str) -> Arithmetic:
    """Compile `text`. Raises SchemaError for what is not arithmetic on at least one symbol."""
    if len(text) > MAX_CHARACTERS:
        raise SchemaError(f"a dim of {len(text)} characters; at most {MAX_CHARACTERS}")
    try:
        body = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError):  # ValueError: a zero byte
        raise _refused(text) from None
    symbols = dict.fromkeys(node.id for node in ast.walk(body) if isinstance(node, ast.Name))
    if not symbols:
        raise _refused(text)
    return Arithmetic(text, tuple(symbols), _compiled(body, text))


def _compiled(node: ast.expr, text: str) -> _Evaluate:
    match node:
        case ast.Name(id=name):
            return operator.itemgetter(name)
        case ast.Constant(value=int() as number) if not isinstance(number, bool):
            return lambda _: number
        case ast.BinOp(left, op, right) if combine := _OPERATORS.get(type(op)):
            a, b = _compiled(left, text), _compiled(right, text)
            return lambda sizes: combine(a(sizes), b(sizes))
    raise _refused(text)


def _refused(text: str) -> SchemaError:
    return SchemaError(
        f"{text!r} is no dim; a whole number, a symbol, '...' in first place, or arithmetic on symbols with + - * // ()"
    )
