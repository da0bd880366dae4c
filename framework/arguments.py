"""Arguments of another Python type than a function takes, told by their names before anything is done with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, get_args

from triptych.errors import ArgumentError, Problem, TriptychError, short

Kinds = Any  # what `isinstance` takes: a class or a union of some; `Callable`, too, which is no class to a checker
WORDS: dict[object, str] = {
    Mapping: "a mapping",
    Sequence: "a list",
    Iterable: "a list",
    Callable: "a class or a function",
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    type: "a class",
    NoneType: "None",
}


def check_arguments(error: type[TriptychError] = ArgumentError, /, **given: tuple[object, Kinds]) -> None:
    """Raise `error`, a TypeError, with each argument by name that is of none of its kinds: `items=(items, Sequence)`.

    A text is no list of its letters, and True is no number.
    """
    wrong = [(name, value, kinds) for name, (value, kinds) in given.items() if not _is_one(value, kinds)]
    if wrong:
        raise error(Problem(f"{_words(kinds)} is wanted, not {short(value)}", name) for name, value, kinds in wrong)


def _is_one(value: object, kinds: Kinds) -> bool:
    if isinstance(value, str | bytes):
        return any(isinstance(value, kind) for kind in _each(kinds) if kind not in (Sequence, Iterable))
    if isinstance(value, bool):
        return any(isinstance(value, kind) for kind in _each(kinds) if kind not in (int, float))
    return isinstance(value, kinds)


def _each(kinds: Kinds) -> tuple[Any, ...]:
    return get_args(kinds) if isinstance(kinds, UnionType) else (kinds,)


def _words(kinds: Kinds) -> str:
    return " or ".join(dict.fromkeys(WORDS.get(kind, kind.__name__) for kind in _each(kinds)))
