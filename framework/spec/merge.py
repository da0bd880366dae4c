"""A spec on top of its `base`s. Every value keeps the place that it came from."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from triptych.errors import Place, Problem, RegistrationError, SpecError, UnknownNameError, short, suggest
from triptych.registry import get_spec_file
from triptych.spec.document import Items, Tree, read_document

AFRESH = ("use", "like", "spec")  # a child that changes one of these says the whole mapping anew
MAX_BASES = 10


def merge(base: object, child: object) -> object:
    """Mappings merge key by key; lists and scalars are replaced; another `use`, `like` or `spec` starts afresh."""
    if not (isinstance(base, Tree) and isinstance(child, Tree)):
        return child
    if any(key in child and child[key] != base.get(key) for key in AFRESH):
        return child
    found = base.without()
    for key, value in child.items():
        found.put(key, merge(base.get(key), value), child)
    return found


def load_tree(path: Path, *, problems: list[Problem] | None = None) -> Tree:
    """The spec in a file with all that it inherits. Raises SpecError for its form, unknown bases and cycles.

    With `problems` given, what leaves the rest readable is added to it instead; a base that cannot be had, with the
    path `base`.
    """
    return Loader(problems).load(path)


def inherited(tree: Tree) -> Tree:
    """A spec that stands in no file with all that it inherits. Raises SpecError for unknown bases and cycles."""
    return Loader().inherited(tree, near=None, chain=())


def find_spec(name: str, *, near: Path | None = None, place: Place | None = None) -> Path:
    """The file of the spec `name`: a registered one, else one in the folder `near`. Raises SpecError without one."""
    try:
        return get_spec_file(name)
    except UnknownNameError as error:
        beside = {file.stem: file for file in near.glob("*.yaml")} if near else {}
        if name in beside:
            return beside[name]
        near_name = suggest(name, beside)
        message = f"unknown spec {name!r}{near_name}" if "did you mean" in near_name else str(error)
        raise SpecError(message, path="base" if place else "", place=place) from None
    except RegistrationError as error:
        raise SpecError(str(error), path="base" if place else "", place=place) from None


class Loader:
    """Specs and their bases, each file read once however many name it."""

    def __init__(self, problems: list[Problem] | None = None) -> None:
        self.problems = problems
        self._read: dict[Path, Tree] = {}
        self._loaded: dict[Path, Tree] = {}

    def read(self, path: Path) -> Tree:
        """What stands in a file itself."""
        if (file := _real(path)) not in self._read:
            self._read[file] = read_document(path, problems=self.problems)
        return self._read[file]

    def load(self, path: Path, above: tuple[Path, ...] = ()) -> Tree:
        """With all that it inherits, as `load_tree` has it."""
        if (file := _real(path)) not in self._loaded:
            self._loaded[file] = self.inherited(self.read(path), near=path.parent, chain=(*above, file))
        return self._loaded[file]

    def inherited(self, tree: Tree, *, near: Path | None, chain: tuple[Path, ...]) -> Tree:
        found: object = Tree()
        for base, place in _bases(tree):
            try:
                found = merge(found, self._base(base, place, near, chain))
            except SpecError as error:
                if self.problems is None or not all(p.path == "base" for p in error.problems):
                    raise
                self.problems += error.problems
        merged = merge(found, tree.without("base"))
        assert isinstance(merged, Tree)
        return _names_of_child(merged, tree)

    def _base(self, name: object, place: Place | None, near: Path | None, chain: tuple[Path, ...]) -> Tree:
        if not isinstance(name, str):
            raise SpecError(f"a base is the name of a spec, not {short(name)}", path="base", place=place)
        base = find_spec(name, near=near, place=place)
        if _real(base) in chain:
            names = " -> ".join(file.stem for file in (*chain, base))
            raise SpecError(f"a cycle of bases: {names}", path="base", place=place)
        if len(chain) > MAX_BASES:
            raise SpecError(f"more than {MAX_BASES} bases deep", path="base", place=place)
        return self.load(base, chain)


def _real(path: Path) -> Path:
    """The file behind links; unlike `resolve` content with links that lead round in a circle."""
    return Path(os.path.realpath(path))


def _bases(tree: Tree) -> Iterable[tuple[object, Place | None]]:
    given, place = tree.get("base"), tree.values_at.get("base")
    if isinstance(given, Items):
        return zip(given, given.places, strict=True)
    return [] if given is None else [(given, place)]


def _names_of_child(merged: Tree, child: Tree) -> Tree:
    """What a family answers to is not inherited: a child is another family."""
    return merged.without(*(key for key in ("architectures", "model_types", "config_file") if key not in child))
