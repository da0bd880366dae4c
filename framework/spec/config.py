"""A checkpoint's config under one set of names: bindings, shared ones and a family's own, say where a fact is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any

from triptych.errors import Problem, SpecError, short
from triptych.spec.document import Items, Tree, parse_document
from triptych.spec.expressions import Missing, is_expression, mentions, parse

MAX_BINDINGS = 30  # of which one asks for the next

Place = str | tuple[object]  # a dotted key or an =expression; in a tuple of one: the value itself, a default


class Names(Mapping[str, Any]):
    """What expressions may speak of; counts how often `layer` was asked, to know what is the same in every layer."""

    def __init__(self, given: Mapping[str, Any], layer: int | None) -> None:
        self.given, self.layer, self.layer_reads = dict(given), layer, 0

    def __getitem__(self, name: str) -> Any:
        if name == "layer" and self.layer is not None:
            self.layer_reads += 1
            return self.layer
        return self.given[name]

    def __iter__(self) -> Iterator[str]:
        return iter([*self.given, *(["layer"] if self.layer is not None else [])])

    def __len__(self) -> int:
        return len(list(iter(self)))


class Config(Mapping[str, Any]):
    """`raw` as it stands on disk, read by canonical name: the first place that is there and not null.

    A family's own binding is all there is to that name; else the name itself comes first, then the shared places. A
    default comes after the places on disk and before expressions, and only where the file is silent: a null on disk
    says that there is none. `names` is what expressions may speak of.
    """

    def __init__(self, raw: Mapping[str, Any], own: Mapping[str, list[Place]], names: Names) -> None:
        self.raw, self.own, self.names = raw, own, names
        self.asked: set[str] = set()
        self._open: list[str] = []  # the names that are being looked up, each for the one before it
        self._known: dict[str, tuple[Any, int]] = {}  # what was found, and how often that asked for `layer`

    def places(self, name: str) -> list[Place]:
        """Where `name` may be kept, in the order that it is looked for."""
        return self.own.get(name) or [name, *shared_bindings().get(name, [])]

    def __getitem__(self, name: str) -> Any:
        self.asked.add(name)
        if name not in self._known:
            self._known[name] = self._found_once(name)
        found, layer_reads = self._known[name]
        self.names.layer_reads += layer_reads
        if isinstance(found, Missing):
            raise Missing(str(found))
        return found

    def _found_once(self, name: str) -> tuple[Any, int]:
        if name in self._open or len(self._open) >= MAX_BINDINGS:
            how = "round in a circle" if name in self._open else f"through more than {MAX_BINDINGS} names"
            raise SpecError(f"config bindings lead {how}: {short(' -> '.join((*self._open, name)))}")
        before = self.names.layer_reads
        self._open.append(name)
        try:
            found = self._find(name)
        except Missing as error:
            found = Missing(str(error))
        finally:
            self._open.pop()
        reads, self.names.layer_reads = self.names.layer_reads - before, before
        return found, reads

    def _find(self, name: str) -> Any:
        places = self.places(name)
        null = False
        for place in places:
            if null and isinstance(place, tuple):
                continue
            try:
                found = self._read(place)
            except Missing:
                continue
            if found is not None:
                return found
            null = True
        if null:
            return None
        keys = [place for place in places if isinstance(place, str) and not is_expression(place)]
        raise Missing(f"the config has no {' / '.join(keys) or name}")

    def __contains__(self, name: object) -> bool:
        return True  # looking it up says best what is missing

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def _read(self, place: Place) -> Any:
        if isinstance(place, tuple):
            return place[0]
        if is_expression(place):
            return parse(place).evaluate(self.names)
        value: Any = self.raw
        for key in place.split("."):
            if not isinstance(value, Mapping) or key not in value:
                raise Missing(key)
            value = value[key]
        return value

    def behind(self, asked: Iterable[str]) -> tuple[set[str], set[str]]:
        """The names that those in `asked` lead to, these among them, and the keys that they may be read from."""
        keys: set[str] = set()
        todo, done = list(asked), set[str]()
        while todo:
            if (name := todo.pop()) in done:
                continue
            done.add(name)
            for place in self.places(name):
                if is_expression(place):
                    todo += mentions(place)
                elif isinstance(place, str):
                    keys.add(place.partition(".")[0])
        return done, keys

    def unread(self, read: set[str], inert: Iterable[str], *, spec: str, at: str) -> Iterator[Problem]:
        """A problem for each key that nothing reads, unless it is neutral (null, false, 0, empty) or inert.

        `at` is the dotted path of the sub-model, '' for the model's own config.
        """
        known, beneath = [*inert_keys(), *inert], f"{at}." if at else ""
        unread = [
            key
            for key, value in self.raw.items()
            if value and key not in read and not any(fnmatchcase(key, k) for k in known)
        ]
        advice = f"override with {beneath}inert=[{', '.join([*inert, *unread])}]"
        for key in unread:
            found = f"this config has `{key}: {short(self.raw[key])}`, which {spec} does not read"
            message = f"{found}; numbers could be silently wrong (if it changes nothing for this checkpoint, {advice})"
            yield Problem(message, path=f"{beneath}config.{key}")


def bindings(tree: Tree) -> dict[str, list[Place]]:
    """A spec's own `config:` and `defaults:` as places; a default follows the places on disk of its name."""
    own: dict[str, list[Place]] = {
        name: list(given) if isinstance(given, list) else [given]
        for name, given in (tree.get("config") or {}).items()
        if given is not None
    }
    for name, value in (tree.get("defaults") or {}).items():
        places = own.get(name) or [name, *shared_bindings().get(name, [])]
        disk = [place for place in places if not is_expression(place)]
        own[name] = [*disk, (value,), *(place for place in places if is_expression(place))]
    return own


@cache
def shared_bindings() -> dict[str, list[Place]]:
    """`conf/bindings.yaml`: the name that specs say -> other places where a config may keep it."""
    return {name: list(places) for name, places in _shipped("bindings.yaml").items()}


@cache
def inert_keys() -> tuple[str, ...]:
    """`conf/inert.yaml`: keys of configs that never change the mathematics; `*` stands for anything."""
    names = _shipped("inert.yaml")["inert"]
    assert isinstance(names, Items)
    return tuple(names)


def _shipped(name: str) -> Tree:
    return parse_document((files("triptych.conf") / name).read_text("utf-8"), file=name)
