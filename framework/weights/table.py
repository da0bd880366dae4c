"""The weights table: our module path -> names on disk. A row stands for all below it, and the longest row wins."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from triptych.errors import Place, SpecError, short
from triptych.spec.base import PartSpec
from triptych.spec.document import Tree
from triptych.spec.expressions import is_expression
from triptych.spec.scope import Collector, Scope

MAX_SHARDS = 1000  # of one parameter
KEYWORDS = ("at", "drop", "layouts")
_CAPTURE = re.compile(r"\{(\w+)\}")
_SHARDS = re.compile(r"\{([^{}]*,[^{}]*)\}")
Key = tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """A tensor on disk, by a name that may hold captures (`{i}`), and the transforms that it goes through.

    A capture that the row's path does not have stands for each number in turn: the tensors are stacked.

    `absent` is what a parameter is filled with when no such tensor is there; None makes it required.

    `scales` is the tensor that the first of the transforms reads beside this one, which holds packed numbers.
    """

    name: str
    via: tuple[PartSpec, ...] = ()
    absent: float | None = None
    scales: str | None = None


@dataclass(frozen=True)
class Row:
    """One line of the table; several sources are joined on the first dimension (fused parameters)."""

    path: str
    sources: tuple[Source, ...]
    place: Place | None = None

    @property
    def key(self) -> Key:
        """The path with every capture as `{}`: what a parameter's path is looked up by."""
        return tuple("{}" if _CAPTURE.fullmatch(step) else step for step in self.path.split("."))

    def captures(self, path: Key) -> dict[str, str]:
        """What the captures of the row stand for in a path that it matches."""
        steps = zip(self.path.split("."), path, strict=False)
        return {found[1]: value for step, value in steps if (found := _CAPTURE.fullmatch(step))}


@dataclass(frozen=True)
class Table:
    """One way in which a checkpoint may name its tensors. `drop`: names on disk that no parameter takes."""

    name: str
    rows: Mapping[Key, Row]
    drop: tuple[str, ...]

    def find(self, path: str) -> tuple[Row, str] | None:
        """The longest row that stands for a parameter, and the rest of the parameter's path below it."""
        steps, key = path.split("."), key_of(path)
        for length in range(len(steps), 0, -1):
            if row := self.rows.get(key[:length]):
                return row, "".join(f".{step}" for step in steps[length:])
        return None

    def renamed(self, name: str, pairs: Mapping[str, str], below: str = "") -> Table:
        """The same table under other names on disk (the longest prefix first), its paths under `below`."""
        rows = [
            replace(
                row,
                path=f"{below}{row.path}",
                sources=tuple(
                    replace(s, name=_renamed(s.name, pairs), scales=s.scales and _renamed(s.scales, pairs))
                    for s in row.sources
                ),
            )
            for row in self.rows.values()
        ]
        return Table(name, {row.key: row for row in rows}, tuple(_renamed(d, pairs) for d in self.drop))

    def beside(self, other: Table) -> Table:
        """Both tables as one, for two components of a model."""
        name = ", ".join(n for n in (self.name, other.name) if n)
        return Table(name, {**self.rows, **other.rows}, (*self.drop, *other.drop))


def key_of(path: str) -> Key:
    """A module path with every number as `{}`: what rows are looked up by."""
    return tuple("{}" if step.isdecimal() else step for step in path.split("."))


def filled(template: str, captures: Mapping[str, str]) -> str:
    """A name with its captures filled in; those that have no value stay."""
    return _CAPTURE.sub(lambda m: captures.get(m[1], m[0]), template)


def captured(template: str) -> set[str]:
    """The captures of a name."""
    return {*_CAPTURE.findall(template)}


def tables(scopes: Mapping[str, Scope]) -> list[Table]:
    """Every way in which this model's checkpoints are named: its own layouts times those of its sub-models."""
    scope = scopes[""]
    tree = scope.tree.get("weights") or Tree()
    found = [_own_table(scope.at("weights"), tree, set(scopes))]
    for path, child in scopes.items():
        if path:
            pairs = _prefixes(scope.at("weights", path), tree, path)
            parts = [table.renamed(table.name, pairs, f"{path}.") for table in tables({"": child})]
            found = [a.beside(b) for a, b in product(found, parts)]
    layouts = tree.get("layouts") or Tree()
    named = {name: _pairs(scope.at("weights", "layouts", name), layouts, name) for name in layouts if layouts[name]}
    return [
        table.renamed(", ".join(n for n in (name, table.name) if n), pairs)
        for name, pairs in {"": dict[str, str](), **named}.items()
        for table in found
    ]


def _prefixes(scope: Scope, tree: Tree, path: str) -> dict[str, str]:
    if tree.get(path) is None:
        scope.fail("no row says under which name this sub-model's tensors are", tree.keys_at.get(path))
    return _pairs(scope, tree, path)


def _pairs(scope: Scope, tree: Tree, key: str) -> dict[str, str]:
    """Beginnings of names and what they become; one text alone is put before every name."""
    given = scope.value(tree[key], tree.values_at.get(key))
    pairs = {"": given} if isinstance(given, str) else given
    if not isinstance(pairs, dict) or not all(isinstance(new, str) for new in pairs.values()):
        scope.fail(
            f"the beginning of a name is wanted, or old: new of several, not {short(given)}", tree.values_at.get(key)
        )
    return dict(pairs)


def _own_table(scope: Scope, tree: Tree, below: set[str]) -> Table:
    problems = Collector()
    rows = list(_rows(scope, tree, path="", at="", below=below, problems=problems))
    problems.check()
    return Table("", {row.key: row for row in rows}, tuple(tree.get("drop") or ()))


def _rows(scope: Scope, tree: Tree, *, path: str, at: str, below: set[str], problems: Collector) -> Iterator[Row]:
    at = f"{at}{scope.value(tree['at'], tree.values_at.get('at'))}." if tree.get("at") else at
    for key, value in tree.items():
        if key in KEYWORDS or value is None or f"{path}{key}" in below:
            continue
        if isinstance(value, Tree) and "from" not in value:
            yield from _rows(scope.at(key), value, path=f"{path}{key}.", at=at, below=below, problems=problems)
            continue
        with problems.catching():
            place = tree.values_at.get(key)
            items = value if isinstance(value, list) else [value]
            sources = tuple(s for item in items for s in _sources(scope.at(key), item, at, place))
            yield Row(f"{path}{key}", sources, place)


def _sources(scope: Scope, item: Any, at: str, place: Place | None) -> Iterator[Source]:
    item = item if isinstance(item, Tree) else Tree({"from": item})
    name = scope.value(item["from"], place)
    if not isinstance(name, str):
        raise SpecError(f"a name on disk is text, not {name!r}", path=".".join(scope.path), place=place)
    steps = item.get("via")
    if is_expression(steps):  # which may come to none
        steps = scope.at("via").value(steps, place)
    via = tuple(_transform(scope, step, place) for step in _each(steps))
    scales, names = scope.value(item.get("scales"), place), _spread(at + name)
    beside = [None] * len(names) if scales is None else _spread(at + scales)
    for each, scale in zip(names, beside, strict=True):
        yield Source(each, via, item.get("absent"), scale)


def _spread(name: str) -> list[str]:
    """The names that one with several pieces in braces stands for."""
    pieces = _SHARDS.split(name)
    words = ([p.strip() for p in piece.split(",")] if i % 2 else [piece] for i, piece in enumerate(pieces))
    return ["".join(chosen) for chosen in product(*words)]


def _transform(scope: Scope, step: object, place: Place | None) -> PartSpec:
    step = Tree({"use": step}) if isinstance(step, str) else step
    return scope.at("via").part("transform", step, place)[1]


def _each(value: object) -> list[object]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _renamed(name: str, pairs: Mapping[str, str]) -> str:
    for old in sorted(pairs, key=len, reverse=True):
        if name == old or name.startswith(f"{old}.") or not old:
            rest = name[len(old) :].lstrip(".")
            return ".".join(piece for piece in (pairs[old], rest) if piece)
    return name
