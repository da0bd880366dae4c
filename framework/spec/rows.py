"""The weights table as it is written: its form, and rows whose path leads nowhere in the spec."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from triptych.errors import Place, Problem, SpecError, short, suggest
from triptych.registry import part_names
from triptych.spec.base import ROLES
from triptych.spec.document import Items, Tree
from triptych.spec.mixers import mixers_in, norms_in

KEYWORDS = ("at", "drop", "layouts")
SOURCE = ("from", "via", "scales", "absent")
CAPTURE = re.compile(r"\{(\w+)\}")

Path = tuple[str | int, ...]
Wrong = Iterator[tuple[Path, str, Place | None]]


def row_problems(tree: object) -> Wrong:
    """(path, message, place) of each value of the wrong kind in a weights table."""
    if not isinstance(tree, Tree):
        return
    for key, value in tree.items():
        if key == "drop":
            if not (isinstance(value, Items) and all(isinstance(name, str) for name in value)) and value is not None:
                message = f"a list of names on disk is wanted, not {short(value)}"
                yield (key,), message, tree.values_at.get(key)
        elif key == "layouts":
            yield from _wrong_layouts(key, value, tree.values_at.get(key))
        else:
            yield from _wrong_row((key,), value, tree.values_at.get(key))


def _wrong_layouts(key: str, value: object, place: Place | None) -> Wrong:
    if isinstance(value, Tree):
        for name, renames in value.items():
            yield from _wrong_renames((key, name), renames, value.values_at.get(name))
    elif value is not None:
        yield (key,), f"names of layouts are wanted, each with its renames, not {short(value)}", place


def _wrong_renames(path: Path, renames: object, place: Place | None) -> Wrong:
    if isinstance(renames, Tree):
        for old, new in renames.items():
            if new is not None and not isinstance(new, str):
                message = f"the beginning of a name is wanted, not {short(new)}"
                yield (*path, old), message, renames.values_at.get(old)
    elif renames is not None:
        yield path, f"beginnings of names are wanted, old: new, not {short(renames)}", place


def _wrong_row(path: Path, value: object, place: Place | None) -> Wrong:
    """A row is a name on disk, `{from, via, scales, absent}`, a list of these, or a mapping of rows below it."""
    if isinstance(value, Items):
        for number, (item, at) in enumerate(zip(value, value.places, strict=True)):
            if isinstance(item, Tree):
                yield from _wrong_source((*path, number), item, at)
            elif not isinstance(item, str):
                yield (*path, number), f"a name on disk is wanted, not {short(item)}", at
    elif isinstance(value, Tree) and any(key in value for key in SOURCE):
        yield from _wrong_source(path, value, place)
    elif isinstance(value, Tree):
        for key, below in value.items():
            if key in ("drop", "layouts"):
                yield (*path, key), f"`{key}` is of the whole table; it stands under `weights`", value.keys_at.get(key)
            else:
                yield from _wrong_row((*path, key), below, value.values_at.get(key))
    elif value is not None and not isinstance(value, str):
        yield path, f"a name on disk is wanted, not {short(value)}", place


def _wrong_source(path: Path, tree: Tree, place: Place | None) -> Wrong:
    for key, value in tree.items():
        at = tree.values_at.get(key)
        if key not in SOURCE:
            yield (*path, key), f"unknown key {key!r}; a row says from, via, scales, absent", tree.keys_at.get(key)
        elif (key == "from" or (key == "scales" and value is not None)) and not isinstance(value, str):
            yield (*path, key), f"a name on disk is wanted, not {short(value)}", at
        elif key == "absent" and value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            yield (*path, key), f"a number is wanted, not {short(value)}", at
    if "from" not in tree:
        yield path, "a row with `via`, `scales` or `absent` says `from` which name on disk", place


def lost_rows(tree: Tree) -> Iterator[Problem]:
    """Rows whose path leads nowhere in this spec, and names on disk with a capture that their path has not."""
    if not (tree.get("language_model") or tree.get("tower")):
        return
    known = _paths(tree)
    try:
        stacked = {name for part in (*mixers_in(tree), *norms_in(tree)) for name in part.stacked}
    except SpecError:  # of a mixer that is not there; who reads the blocks tells it
        return
    for path, value, at, place in _rows(tree.get("weights") or Tree(), (), ""):
        where = ".".join(("weights", *path))
        for depth, step in enumerate(path):
            below = known.get(path[:depth])
            if below is not None and step not in below:
                yield Problem(f"no {step!r} in this model{suggest(step, below)}", where, place)
                break
        if path[-1] in stacked:  # a capture that only the disk has counts its matrices, or rows
            continue
        captures = set(CAPTURE.findall(".".join(path)))
        for name in (at + name for name in _names(value)):
            for capture in dict.fromkeys(CAPTURE.findall(name)):
                if capture not in captures:
                    message = f"{{{capture}}} in {name!r} is not in the path of the row"
                    yield Problem(f"{message}{suggest(capture, captures)}", where, place)


def _rows(tree: Tree, above: tuple[str, ...], at: str) -> Iterator[tuple[tuple[str, ...], object, str, Place | None]]:
    """(path, value, what its names on disk begin with, place) of each row."""
    at = f"{at}{tree['at']}." if tree.get("at") else at
    for key, value in tree.items():
        if key in KEYWORDS or value is None:
            continue
        path = (*above, *key.split("."))
        if isinstance(value, Tree) and "from" not in value and path[0] not in ("towers", "language_model"):
            yield from _rows(value, path, at)
        else:
            yield path, value, at, tree.keys_at.get(key)


def _names(value: object) -> Iterator[str]:
    for item in value if isinstance(value, list) else [value]:
        name = item.get("from") if isinstance(item, Tree) else item
        if isinstance(name, str):
            yield name


def _paths(tree: Tree) -> Mapping[tuple[str, ...], set[str]]:
    """What may follow each beginning of a row's path, as far as the spec tells."""
    known: dict[tuple[str, ...], set[str]] = {}
    if tree.get("towers") or (tree.get("language_model") or {}).get("spec"):
        known[()] = {"towers", "projectors", "language_model", "pooler"}
    else:
        branches = _branches(tree)
        known[()] = {"embed", "norm", "layers", *(("pool",) if tree.get("tower") else ("head", "pooler"))}
        known["layers", "{i}"] = set(branches)
        known |= {("layers", "{i}", name): below for name, below in branches.items()}
    for section in ("towers", "projectors"):
        known[section,] = {name for name, value in (tree.get(section) or {}).items() if value is not None}
    return known


def _branches(tree: Tree) -> dict[str, set[str]]:
    """What may stand in each branch and member: norms by role, mixers by the name of their part or their own."""
    below = {*ROLES, *(tree.get("parts") or ()), *part_names("mixer")}
    return {
        key: below
        for block in (tree.get("blocks") or {}).values()
        for name, branch in (block or {}).items()
        if isinstance(branch, Tree)
        for key in (name, *(branch.get("parallel") or ()))
    }
