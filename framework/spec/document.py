"""YAML text -> plain values that know where they stand. A stranger's file is read within bounds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from math import isinf
from pathlib import Path
from typing import Any

import yaml

from triptych.errors import Place, Problem, SpecError, short

MAX_BYTES, MAX_NESTING, MAX_INT = 1_000_000, 40, 2**53
_TAG = "tag:yaml.org,2002:"
_FLOAT = re.compile(
    r"^(?:[-+]?\d+\.\d*(?:[eE][-+]?\d+)?|[-+]?\d+[eE][-+]?\d+|[-+]?\.\d+(?:[eE][-+]?\d+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)


class Tree(dict[str, Any]):
    """A mapping; `keys_at` and `values_at` hold the place of each key and of each value."""

    __slots__ = ("keys_at", "values_at")

    def __init__(self, items: Mapping[str, Any] | None = None) -> None:
        super().__init__(items or {})
        self.keys_at: dict[str, Place] = {}
        self.values_at: dict[str, Place] = {}

    def put(self, key: str, value: object, source: Tree, source_key: str | None = None) -> None:
        """Set `key` to `value`, which stands where `source` has `source_key` (the same key unless given)."""
        self[key] = value
        name = key if source_key is None else source_key
        if name in source.keys_at:
            self.keys_at[key], self.values_at[key] = source.keys_at[name], source.values_at[name]

    def without(self, *keys: str) -> Tree:
        """The same tree less some keys, places kept."""
        found = Tree()
        for key, value in self.items():
            if key not in keys:
                found.put(key, value, self)
        return found

    def having(self, key: str, value: object) -> Tree:
        """The same tree with one key more, places kept."""
        found = self.without()
        found[key] = value
        return found


class Items(list[Any]):
    """A list; `places` holds the place of each item."""

    __slots__ = ("places",)

    def __init__(self, items: list[Any], places: list[Place]) -> None:
        super().__init__(items)
        self.places = places


class _Loader(yaml.CSafeLoader):
    """CSafeLoader with the scalars of YAML 1.2: `1e-5` is a number, `on`, `no`, `010` and dates are text."""


_Loader.yaml_implicit_resolvers = {}
for _name, _pattern, _first in (
    ("null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    ("bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    ("int", re.compile(r"^[-+]?(?:0|[1-9]\d*)$"), list("-+0123456789")),
    ("float", _FLOAT, list("-+0123456789.")),
):
    _Loader.add_implicit_resolver(_TAG + _name, _pattern, _first)
RESOLVERS = _Loader.yaml_implicit_resolvers


def read_document(path: Path, *, problems: list[Problem] | None = None) -> Tree:
    """The YAML mapping in a file. Raises SpecError with every mistake of its form, each with its place.

    With `problems` given, mistakes that leave the rest readable (a duplicate key, a tag, an alias) are added to it.
    """
    whole = Place(str(path), 0, 0)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise SpecError(f"{size} bytes; a spec has at most {MAX_BYTES}", place=whole)
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:  # of what has no size: a pipe, a device
            raise SpecError(f"it goes on and on; a spec has at most {MAX_BYTES} bytes", place=whole)
        text = data.decode()
    except OSError as error:
        raise SpecError(error.strerror or str(error), place=whole) from None
    except UnicodeDecodeError as error:
        raise SpecError(f"not UTF-8 text (byte {error.start})", place=whole) from None
    return parse_document(text, file=str(path), problems=problems)


def parse_document(text: str, *, file: str, problems: list[Problem] | None = None) -> Tree:
    """As `read_document`, of a text; `file` is what its places name."""
    found, wrong = _read(text, file)
    if wrong and (problems is None or not isinstance(found, Tree)):
        raise SpecError(wrong)
    if not isinstance(found, Tree):
        raise SpecError(f"a spec is a mapping of keys to values, not {short(found)}", place=Place(file, 1, 1))
    if problems is not None:
        problems += wrong
    return found


@lru_cache(maxsize=256)
def _read(text: str, file: str) -> tuple[object, list[Problem]]:
    """The value of a document, None where it cannot be read to its end, and what is wrong with it.

    Read once for the catalog and for every spec that has it as a base: nothing changes a tree once it is read.
    """
    problems: list[Problem] = []
    try:
        return _Reader(file, text, problems).document(), problems
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return None, [*problems, Problem(str(error.problem or error.context), place=_place(file, mark))]
    except yaml.reader.ReaderError as error:  # a character that YAML does not know; its position is in bytes
        before = text.encode()[: error.position].decode(errors="ignore")
        place = Place(file, before.count("\n") + 1, len(before) - before.rfind("\n"))
        return None, [*problems, Problem(f"{error.reason} (#x{error.character:04x})", place=place)]
    except UnicodeEncodeError as error:  # half of a character, from a command line that is no UTF-8
        return None, [Problem(f"not UTF-8 text (character {error.start})", place=Place(file, 1, 1))]


class _Reader:
    """Events of the C parser -> values, every problem kept.

    Events, not the parser's own nodes: composing those recurses in C, where a file of brackets ends the process.
    """

    def __init__(self, file: str, text: str, problems: list[Problem]) -> None:
        self.file, self.problems = file, problems
        self.loader: Any = _Loader(text)  # its events carry what the stubs do not tell

    def document(self) -> object:
        self.loader.get_event()  # the stream's start
        if self.loader.check_event(yaml.StreamEndEvent):
            return Tree()
        self.loader.get_event()
        found = self._value(self.loader.get_event(), 0)
        self.loader.get_event()
        if not self.loader.check_event(yaml.StreamEndEvent):
            self._refuse("a second document; a spec is one", self.loader.peek_event())
        return found

    def _refuse(self, message: str, event: Any) -> None:
        self.problems.append(Problem(message, place=_place(self.file, event.start_mark)))

    def _value(self, event: Any, depth: int) -> Any:
        if isinstance(event, yaml.AliasEvent):
            self._refuse("an alias; write the value out (aliases can make a small file endless)", event)
            return None
        if depth > MAX_NESTING:
            raise yaml.MarkedYAMLError(problem=f"nested more than {MAX_NESTING} deep", problem_mark=event.start_mark)
        if event.tag not in (None, "!"):
            self._refuse(f"tag {event.tag.replace(_TAG, '!!')!r}; a spec holds plain values only", event)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(depth)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(depth)
        return self._scalar(event)

    def _mapping(self, depth: int) -> Tree:
        found = Tree()
        while not isinstance(start := self.loader.get_event(), yaml.MappingEndEvent):
            key = self._value(start, depth + 1)
            if not isinstance(start, yaml.ScalarEvent) or start.value == "<<":
                self._refuse("a key is a plain word", start)
            key, value = getattr(start, "value", str(key)), self.loader.get_event()
            if key in found:
                self._refuse(f"duplicate key {key!r}; it stands at line {found.keys_at[key].line} already", start)
            found[key] = self._value(value, depth + 1)
            found.keys_at[key] = _place(self.file, start.start_mark)
            found.values_at[key] = _place(self.file, value.start_mark)
        return found

    def _sequence(self, depth: int) -> Items:
        found = Items([], [])
        while not isinstance(event := self.loader.get_event(), yaml.SequenceEndEvent):
            found.append(self._value(event, depth + 1))
            found.places.append(_place(self.file, event.start_mark))
        return found

    def _scalar(self, event: Any) -> object:
        text: str = event.value
        match self.loader.resolve(yaml.ScalarNode, text, event.implicit).removeprefix(_TAG):
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int" if len(text) > 17 or abs(int(text)) >= MAX_INT:
                self._refuse("an integer of 2**53 or more", event)
            case "int":
                return int(text)
            case "float":
                number = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
                if isinf(number) and "inf" not in text.lower():
                    self._refuse("a number too large for a float", event)
                return number
        return text


def _place(file: str, mark: Any) -> Place:
    return Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 1, 1)


def locate(root: object, path: tuple[str | int, ...]) -> Place | None:
    """The place of what a path of keys and indices leads to; steps that are not there are skipped."""
    place: Place | None = None
    for step in path:
        if isinstance(root, Tree) and step in root:
            place, root = root.values_at.get(str(step), place), root[str(step)]
        elif isinstance(root, Items) and isinstance(step, int) and step < len(root):
            place, root = root.places[step], root[step]
    return place


def without_paths(root: Tree, paths: Iterable[tuple[str | int, ...]]) -> Tree:
    """The tree less what the paths lead to; steps that are not there are skipped, a list is left out whole."""
    below: dict[str, list[tuple[str | int, ...]]] = {}
    for path in paths:
        for number, step in enumerate(path):
            if step in root:
                below.setdefault(str(step), []).append(path[number + 1 :])
                break
    found = Tree()
    for key, value in root.items():
        if key not in below:
            found.put(key, value, root)
        elif isinstance(value, Tree) and all(any(step in value for step in rest) for rest in below[key]):
            found.put(key, without_paths(value, below[key]), root)
    return found


def walk(
    value: object, path: tuple[str, ...] = (), place: Place | None = None
) -> Iterator[tuple[tuple[str, ...], object, Place | None]]:
    """Every leaf below `value` with its path and place."""
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield from walk(child, (*path, str(key)), value.values_at.get(key) if isinstance(value, Tree) else place)
    elif isinstance(value, list):
        for number, child in enumerate(value):
            yield from walk(child, (*path, str(number)), value.places[number] if isinstance(value, Items) else place)
    else:
        yield path, value, place
