"""A spec on top of its `base`s, and overrides on top of that. Every value keeps the place that it came from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from triptych.errors import Place, SpecError, suggest
from triptych.registry import spec_files
from triptych.spec.document import Tree, parse_document, read_document

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


def load_tree(path: Path) -> Tree:
    """The spec in a file with all that it inherits. Raises SpecError for its form, unknown bases and cycles."""
    return _load(path, ())


def find_spec(name: str, *, near: Path | None = None, place: Place | None = None) -> Path:
    """The file of the spec `name`: a registered one, else one in the folder `near`. Raises SpecError without one."""
    files = spec_files()
    if name in files:
        return files[name]
    sibling = near / f"{name}.yaml" if near and name.isidentifier() else None
    if sibling and sibling.is_file():
        return sibling
    raise SpecError(f"unknown spec {name!r}{suggest(name, files)}", place=place)


def _load(path: Path, above: tuple[str, ...]) -> Tree:
    tree = read_document(path)
    chain = (*above, path.stem)
    found: object = Tree()
    for base, place in _bases(tree):
        if base in chain:
            raise SpecError(f"a cycle of bases: {' -> '.join((*chain, base))}", path="base", place=place)
        if len(chain) > MAX_BASES:
            raise SpecError(f"more than {MAX_BASES} bases deep", path="base", place=place)
        found = merge(found, _load(find_spec(base, near=path.parent, place=place), chain))
    merged = merge(found, tree.without("base"))
    assert isinstance(merged, Tree)
    return _names_of_child(merged, tree)


def _bases(tree: Tree) -> Iterable[tuple[str, Place | None]]:
    given, place = tree.get("base"), tree.values_at.get("base")
    for base in given if isinstance(given, list) else [given] if given is not None else []:
        if not isinstance(base, str):
            raise SpecError(f"a base is the name of a spec, not {base!r}", path="base", place=place)
        yield base, place


def _names_of_child(merged: Tree, child: Tree) -> Tree:
    """What a family answers to is not inherited: a child is another family."""
    return merged.without(*(key for key in ("architectures", "model_types") if key not in child))


def override(tree: Tree, text: str) -> Tree:
    """The tree with one `dotted.path=value` of a command line merged in. Raises SpecError for what is none."""
    path, equals, value = text.partition("=")
    if not equals or not all(path.split(".")):
        raise SpecError(f"override {text!r}: not of the form path.to.key=value")
    place = Place(f"override {text!r}", 0, 0)
    node: object = parse_document(f"value: {value}", file=place.file)["value"]
    for key in reversed(path.split(".")):
        step = Tree({key: node})
        step.keys_at[key] = step.values_at[key] = place
        node = step
    found = merge(tree, node)
    assert isinstance(found, Tree)
    return found
