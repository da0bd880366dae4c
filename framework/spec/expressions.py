"""`=expression` values: names, arithmetic, comparison, logic, indexing and a few functions. Read with ast, never eval.

Bounded, so that a stranger's spec is harmless: 300 characters, 20 deep, exponents within 8, integers below 2**53, no
arithmetic on text. An expression is compiled once to closures and then costs about a microsecond.
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from triptych.errors import SpecError, short, suggest

MAX_CHARACTERS, MAX_DEPTH, MAX_EXPONENT, MAX_INT, MAX_ITEMS = 300, 20, 8, 2**53, 10_000

Names = Mapping[str, Any]
_Evaluate = Callable[[Names], Any]


class Missing(SpecError):
    """An expression names what a config does not have; a binding then tries its next place."""


@dataclass(frozen=True)
class Expression:
    """A compiled expression. `mentions` are the attributes asked of `config`, anywhere in it."""

    text: str
    roots: frozenset[str]
    mentions: frozenset[str]
    constants: frozenset[str]
    _evaluate: _Evaluate

    def evaluate(self, names: Names) -> Any:
        """Its value. Raises Missing for what the config lacks, SpecError for all else."""
        try:
            return self._evaluate(names)
        except Missing as error:
            raise Missing(f"{self.text!r}: {error}") from None
        except SpecError as error:
            raise SpecError(f"{self.text!r}: {error}") from None
        except (TypeError, ValueError, KeyError, IndexError, ArithmeticError) as error:
            raise SpecError(f"{self.text!r}: {error}") from None


def is_expression(value: object) -> bool:
    return isinstance(value, str) and value.startswith("=")


@lru_cache(maxsize=8192)
def parse(text: str) -> Expression:
    """Compile `=...`. Raises SpecError for what the language does not have."""
    source = text.removeprefix("=").strip()
    if len(source) > MAX_CHARACTERS:
        raise SpecError(f"an expression of {len(source)} characters; at most {MAX_CHARACTERS}")
    body = _parsed(source, text)
    if (depth := _depth(body)) > MAX_DEPTH:
        raise SpecError(f"{text!r}: {depth} levels deep; at most {MAX_DEPTH}")
    nodes = list(ast.walk(body))
    functions = {id(n.func) for n in nodes if isinstance(n, ast.Call)}
    return Expression(
        text,
        roots=frozenset(n.id for n in nodes if isinstance(n, ast.Name) and id(n) not in functions),
        mentions=frozenset(name for n in nodes if (name := _asked_of_config(n)) is not None),
        constants=frozenset(_outcomes(body)),
        _evaluate=_compile(body, text),
    )


def mentions(value: object) -> frozenset[str]:
    """The names that an expression asks of `config`; none for what is no expression, or cannot be read as one."""
    try:
        return parse(str(value)).mentions if is_expression(value) else frozenset()
    except SpecError:
        return frozenset()


def outcomes(text: str) -> frozenset[str] | None:
    """The words an expression can come to, when these are all written in it; None when a config decides the word."""
    expression = parse(text)
    return expression.constants if "" not in expression.constants else None


def _outcomes(node: ast.expr) -> set[str]:
    if isinstance(node, ast.IfExp):
        return _outcomes(node.body) | _outcomes(node.orelse)
    if isinstance(node, ast.Constant) and (node.value is None or node.value):
        return {node.value} if isinstance(node.value, str) else set()
    return {""}  # stands for a word that is not written here


def _parsed(source: str, text: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what Python only warns of (`1if x`, '\\d') is a mistake here
            return ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise SpecError(f"{text!r}: {getattr(error, 'msg', error)}") from None


def _asked_of_config(node: ast.AST) -> str | None:
    """The name in `config.name` or `config['name']`."""
    match node:
        case ast.Attribute(value=ast.Name(id="config"), attr=name):
            return name
        case ast.Subscript(value=ast.Name(id="config"), slice=ast.Constant(value=str(name))):
            return name
    return None


def _depth(node: ast.AST) -> int:
    """Levels of nesting, counted without recursion: ast.parse itself bounds what it returns."""
    level, deepest = [node], 0
    while level:
        deepest += 1
        level = [child for n in level for child in ast.iter_child_nodes(n) if isinstance(child, ast.expr)]
    return deepest


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SpecError(f"arithmetic on {short(value)}")
    return value


def _bounded(value: Any) -> Any:
    if isinstance(value, int) and abs(value) >= MAX_INT:
        raise SpecError("an integer of 2**53 or more")
    if isinstance(value, float) and not math.isfinite(value):
        raise SpecError("a number that is not finite")
    return value


def _arithmetic(apply: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda a, b: _bounded(apply(_number(a), _number(b)))


def _power(a: Any, b: Any) -> Any:
    if abs(_number(b)) > MAX_EXPONENT:
        raise SpecError(f"an exponent of {b}; at most {MAX_EXPONENT}")
    found = _number(a) ** b
    if isinstance(found, complex):
        raise SpecError("a root of a negative number")
    return _bounded(found)


def _times(a: Any, b: Any) -> Any:
    if isinstance(a, list) and isinstance(b, int) and not isinstance(b, bool):
        if len(a) * b > MAX_ITEMS:
            raise SpecError(f"a list of {len(a) * b} items; at most {MAX_ITEMS}")
        return _flat(a) * b
    return _bounded(_number(a) * _number(b))


def _flat(items: list[Any]) -> list[Any]:
    """A list of lists, times a number a few times over, would take for ever to compare or to print."""
    if any(isinstance(item, list | Mapping) for item in items):
        raise SpecError("a list within a list; it holds numbers and words")
    return items


def _contains(owner: Any, key: Any) -> bool:
    """`key in owner`; of a mapping, whether something stands there that is not null (a config knows where to look)."""
    if not isinstance(owner, Mapping):
        return key in owner
    try:
        return _attribute(owner, key) is not None
    except Missing:
        return False


_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: _arithmetic(operator.add),
    ast.Sub: _arithmetic(operator.sub),
    ast.Mult: _times,
    ast.Div: _arithmetic(operator.truediv),
    ast.FloorDiv: _arithmetic(operator.floordiv),
    ast.Mod: _arithmetic(operator.mod),
    ast.Pow: _power,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.USub: lambda a: -_number(a), ast.Not: operator.not_}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda a, b: _contains(b, a),
    ast.NotIn: lambda a, b: not _contains(b, a),
}


def _numbers(value: Any) -> list[int]:
    """The whole numbers that a text holds between commas; a list is what it is."""
    if not isinstance(value, str):
        return list(value)
    try:
        return [int(number) for number in value.split(",") if number.strip()]
    except ValueError as error:
        raise SpecError(f"numbers between commas are wanted, not {short(value)}") from error


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "len": len,
    "min": min,
    "max": max,
    "int": lambda value: _bounded(int(_number(value))),
    "ceil": lambda value: _bounded(math.ceil(_number(value))),
    "numbers": _numbers,
}


def _compile(node: ast.expr, text: str) -> _Evaluate:  # noqa: PLR0911, PLR0912  (a case for each form of the language)
    def of(child: ast.expr) -> _Evaluate:
        return _compile(child, text)

    match node:
        case ast.Constant(value=constant) if constant is None or isinstance(constant, bool | int | float | str):
            _bounded(constant)
            return lambda _: constant
        case ast.Name(id=name):
            return lambda names: _named(names, name)
        case ast.Attribute(value=owner, attr=attr) if not attr.startswith("_"):
            get = of(owner)
            return lambda names: _attribute(get(names), attr)
        case ast.Subscript(value=owner, slice=key):
            get, at = of(owner), of(key)
            return lambda names: _item(get(names), at(names))
        case ast.BoolOp(op=ast.Or(), values=choices):
            return _logic([of(c) for c in choices], stop=True)
        case ast.BoolOp(op=ast.And(), values=choices):
            return _logic([of(c) for c in choices], stop=False)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            apply, a, b = _BINARY[type(op)], of(left), of(right)
            return lambda names: apply(a(names), b(names))
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            turn, a = _UNARY[type(op)], of(operand)
            return lambda names: turn(a(names))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            compare, a, b = _COMPARE[type(op)], of(left), of(right)
            return lambda names: compare(a(names), b(names))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            ask, yes, no = of(test), of(body), of(orelse)
            return lambda names: yes(names) if ask(names) else no(names)
        case ast.List(elts=elements):
            items = [of(e) for e in elements]
            return lambda names: _flat([item(names) for item in items])
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS:
            call, given = FUNCTIONS[name], [of(a) for a in args]
            return lambda names: call(*(g(names) for g in given))
        case ast.Call(func=ast.Name(id=name)) if name not in FUNCTIONS:
            raise SpecError(f"{text!r}: no function {name!r}{suggest(name, FUNCTIONS)}")
    raise SpecError(f"{text!r}: {ast.unparse(node)!r} is more than an expression may hold; register a part for it")


def _named(names: Names, name: str) -> Any:
    value = names.get(name)
    if value is None:
        raise SpecError(f"{name!r} has no meaning here{suggest(name, names)}")
    return value


def _attribute(owner: Any, name: Any) -> Any:
    if not isinstance(owner, Mapping):
        raise SpecError(f"{name!r} asked of {short(owner)}, which is no mapping")
    if not isinstance(name, str):
        raise SpecError(f"a key is text, not {short(name)}")
    if name not in owner:
        raise Missing(f"no {name!r}")
    return owner[name]


def _item(owner: Any, key: Any) -> Any:
    if isinstance(owner, Mapping):
        numbered = isinstance(key, int) and all(isinstance(k, str) and k.isdecimal() for k in owner)
        return _attribute(owner, str(key) if numbered else key)  # JSON's keys are text
    # A list in one writer's file is a number in another's; letters are items too.
    if not isinstance(owner, list | tuple | str):
        raise Missing(f"no items in {short(owner)}")
    if not isinstance(key, int) or isinstance(key, bool) or not -len(owner) <= key < len(owner):
        raise SpecError(f"no item {short(key)} in a list of {len(owner)}")
    return owner[key]


def _logic(terms: list[_Evaluate], *, stop: bool) -> _Evaluate:
    def evaluate(names: Names) -> Any:
        for term in terms[:-1]:
            if bool(found := term(names)) is stop:
                return found
        return terms[-1](names)

    return evaluate
