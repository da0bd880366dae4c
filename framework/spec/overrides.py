"""`dotted.path=value` of a command line, on top of a spec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

from triptych.errors import Place, SpecError
from triptych.spec.document import Items, Tree, parse_document, walk
from triptych.spec.expressions import is_expression
from triptych.spec.merge import merge
from triptych.spec.validate import mistakes


def overridden(tree: Tree, overrides: Sequence[str]) -> Tree:
    """The tree with `overrides` merged in, in order.

    Raises SpecError for what is no override, for wrong values, and for names that nothing asks for.
    """
    if not overrides:
        return tree
    found = reduce(_override, overrides, tree)
    own = {_place(text) for text in overrides}
    if wrong := [p for p in mistakes(found) if p.place in own]:
        raise SpecError(wrong)
    return found


def _override(tree: Tree, text: str) -> Tree:
    path, equals, value = text.partition("=")
    if not equals or not all(path.split(".")):
        raise SpecError(f"override {text!r}: not of the form path.to.key=value")
    place = _place(text)
    node: object = _value(value, place)
    for key in reversed(path.split(".")):
        step = Tree({key: node})
        step.keys_at[key] = step.values_at[key] = place
        node = step
    found = merge(tree, node)
    assert isinstance(found, Tree)
    return found


def _place(text: str) -> Place:
    return Place(f"override {text!r}", 0, 0)


def replaced(before: Tree, after: Tree) -> set[str]:
    """The expressions of one tree that the other has no more."""
    said = ({str(leaf) for _, leaf, _ in walk(tree) if is_expression(leaf)} for tree in (before, after))
    return next(said) - next(said)


def _value(text: str, place: Place) -> object:
    """A value written in YAML, all of which stands in one place."""
    try:
        found = parse_document(f"value: {text}", file=place.file)
    except SpecError as error:
        raise SpecError(replace(problem, place=place) for problem in error.problems) from None
    if len(found) > 1:
        raise SpecError("one value is wanted", place=place)
    return _placed(found["value"], place)


def _placed(value: object, place: Place) -> object:
    if isinstance(value, Items):
        return Items([_placed(item, place) for item in value], [place] * len(value))
    if not isinstance(value, Tree):
        return value
    found = Tree({key: _placed(item, place) for key, item in value.items()})
    found.keys_at = found.values_at = dict.fromkeys(found, place)
    return found
