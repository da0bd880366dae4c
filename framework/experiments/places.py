"""Where each value of a composed config comes from: a line of a file, an option of the registry, or an override."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from triptych.errors import Place
from triptych.experiments.refused import at_override
from triptych.spec.document import Items, Tree

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Layer:
    """One file, or one override, at the path of the whole where its values go."""

    at: tuple[str, ...]
    tree: Tree


@dataclass(frozen=True)
class Layers:
    """What a config is composed of, in the order of merging: later ones win."""

    files: Sequence[Layer]
    overrides: Mapping[tuple[str, ...], str] = field(default_factory=dict)

    def tree(self, value: object) -> Tree:
        """The whole config as a tree whose places are those of the layers."""
        found = self._placed(value, ())
        assert isinstance(found, Tree), "an experiment's file is a mapping"
        return found

    def _placed(self, value: object, path: Path) -> object:
        if isinstance(value, Mapping):
            found = Tree()
            for key, child in value.items():
                found[key] = self._placed(child, (*path, key))
                found.keys_at[key], found.values_at[key] = self._places((*path, key))
            return found
        if isinstance(value, list):
            items = [self._placed(child, (*path, number)) for number, child in enumerate(value)]
            return Items(items, [self._places((*path, number))[1] for number in range(len(items))])
        return value

    def place(self, path: str) -> Place:
        """Where the value of a dotted path stands."""
        return self._places(tuple(path.split(".")))[1]

    def _places(self, path: Path) -> tuple[Place, Place]:
        """Where the key and where the value of a path stand."""
        for key, text in reversed(list(self.overrides.items())):
            if path[: len(key)] == key or key[: len(path)] == path:
                place = at_override(text)
                return place, place
        for layer in reversed(self.files):
            if found := _within(layer, path):
                return found
        whole = Place("composed", 0, 0)
        return whole, whole


def _within(layer: Layer, path: Path) -> tuple[Place, Place] | None:
    if path[: len(layer.at)] != layer.at:
        return None
    node: object = layer.tree
    found: tuple[Place, Place] | None = None
    for step in path[len(layer.at) :]:
        if isinstance(node, Tree) and step in node:
            place = node.values_at[str(step)]
            found, node = (node.keys_at[str(step)], place), node[str(step)]
        elif isinstance(node, Items) and isinstance(step, int) and step < len(node):
            found, node = (node.places[step], node.places[step]), node[step]
        else:
            return None
    return found
