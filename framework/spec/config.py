"""A checkpoint's config under one set of names: bindings, shared ones and a family's own, say where a fact is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any

from triptych.errors import Problem
from triptych.spec.document import Items, Tree, parse_document
from triptych.spec.expressions import Missing, is_expression, parse

Place = str | tuple[object]  # a dotted key or an =expression; in a tuple of one: the value itself, a default


class Config(Mapping[str, Any]):
    """`raw` as it stands on disk, read by canonical name: the first place that is there and not null.

    A family's own binding is all there is to that name; else the name itself comes first, then the shared places. A
    default comes after the places on disk and before expressions, and only where the file is silent: a null on disk
    says that there is none. `names` is what expressions may speak of.
    """

    def __init__(self, raw: Mapping[str, Any], own: Mapping[str, list[Place]], names: Mapping[str, Any]) -> None:
        self.raw, self.own, self.names = raw, own, names
        self.asked: set[str] = set()

    def places(self, name: str) -> list[Place]:
        """Where `name` may be kept, in the order that it is looked for."""
        return self.own.get(name) or [name, *shared_bindings().get(name, [])]

    def __getitem__(self, name: str) -> Any:
        self.asked.add(name)
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

    def keys_behind(self, mentions: Iterable[str]) -> set[str]:
        """The keys of `raw` that the names in `mentions` may be read from."""
        keys: set[str] = set()
        todo, done = list(mentions), set[str]()
        while todo:
            if (name := todo.pop()) in done:
                continue
            done.add(name)
            for place in self.places(name):
                if isinstance(place, str) and is_expression(place):
                    todo += parse(place).mentions
                elif isinstance(place, str):
                    keys.add(place.partition(".")[0])
        return keys

    def unread(self, read: set[str], inert: Iterable[str], *, spec: str) -> Iterator[Problem]:
        """A problem for each key that nothing reads, unless it is neutral (null, false, 0, empty) or inert."""
        known = [*inert_keys(), *inert]
        for key, value in self.raw.items():
            if value and key not in read and not any(fnmatchcase(key, k) for k in known):
                found = f"this config has `{key}: {_short(value)}`, which {spec} does not read"
                advice = f"if it changes nothing for this checkpoint, override with inert=[{key}]"
                yield Problem(f"{found}; numbers could be silently wrong ({advice})", path=f"config.{key}")


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


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
