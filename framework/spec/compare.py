"""Where two merged specs differ: values by dotted path, each with its place; names whose order counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from triptych.errors import Place
from triptych.spec.document import Tree
from triptych.spec.merge import AFRESH

ORDERED = ("blocks", "programs", "projectors", "deepstack")  # whose branches and steps run one after the other
ORDER = "(order)"  # of the keys, as the last word of a path


@dataclass(frozen=True)
class Said:
    """A value as a spec says it, and where."""

    value: object
    place: Place | None


@dataclass(frozen=True)
class Difference:
    """What each of two specs says under a path; None where it says nothing."""

    path: str
    left: Said | None
    right: Said | None


def differences(left: Tree, right: Tree) -> list[Difference]:
    """Every path under which two merged specs do not say the same, section by section.

    1, 1.0 and true are three values; an =expression is compared as it is written, a list as a whole. Where the same
    names stand in another order, and order counts, the path ends in `(order)`.
    """
    one, other = ({**dict(_leaves(tree)), **dict(_orders(tree, beside))} for tree, beside in _both_ways(left, right))
    paths = [*one, *(path for path in other if path not in one)]
    changed = [path for path in paths if not _same(one.get(path), other.get(path))]
    sections = [*left, *right]
    changed.sort(key=lambda path: sections.index(path[0]))
    return [Difference(".".join(path), one.get(path), other.get(path)) for path in changed]


def _both_ways(left: Tree, right: Tree) -> Iterator[tuple[Tree, Tree]]:
    yield left, right
    yield right, left


def _leaves(
    value: object, path: tuple[str, ...] = (), place: Place | None = None
) -> Iterator[tuple[tuple[str, ...], Said]]:
    """What is no mapping, or an empty one, by its path."""
    if isinstance(value, Tree) and (value or not path):
        for key, child in value.items():
            yield from _leaves(child, (*path, key), value.values_at.get(key, place))
    else:
        yield path, Said(value, place)


def _same(one: Said | None, other: Said | None) -> bool:
    return one is not None and other is not None and _written(one.value) == _written(other.value)


def _written(value: object) -> str:
    """Text that is equal for equal values alone: NaN is itself, and true is not 1."""
    return json.dumps(value, sort_keys=True)


def _orders(tree: Tree, beside: Tree) -> Iterator[tuple[tuple[str, ...], Said]]:
    """Of each block and each projector that two specs have: the branches or steps that both have, in the order here."""
    for section in ORDERED:
        groups, others = tree.get(section), beside.get(section)
        if not (isinstance(groups, Tree) and isinstance(others, Tree)):
            continue
        for name, one in groups.items():
            if isinstance(one, Tree) and isinstance(other := others.get(name), Tree):
                keys = [key for key in one if key not in AFRESH and one[key] is not None and other.get(key) is not None]
                yield (section, name, ORDER), Said(keys, groups.values_at.get(name))
