"""The mixers and norms of a spec without a config: those that some config may lead to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import BaseModel

from triptych.registry import part_names
from triptych.spec.base import PartSpec, kind_of_part
from triptych.spec.document import Tree
from triptych.spec.draft import words_of
from triptych.spec.scope import Scope, liking


def mixing_in(tree: Tree, stack: Tree) -> Iterator[tuple[type[BaseModel], Tree]]:
    """Every mixer of a stack, those inside others too, by its Spec and what is said of it."""
    scope = Scope.of("", tree, {})
    names = words_of((stack.get("layers") or {}).get("block"))
    for name in tree.get("blocks") or {} if names is None else names:
        for branch in scope.named("blocks", name).values():
            for mixer in _mixers(branch):
                yield from _mixing(scope, mixer)


def mixers_in(tree: Tree) -> Iterator[type[PartSpec]]:
    """The Spec of every mixer of the language model, or of the one tower; once for each place that names it."""
    stack = tree.get("language_model") or tree.get("tower") or Tree()
    yield from (known for known, _ in mixing_in(tree, stack) if issubclass(known, PartSpec))


def norms_in(tree: Tree) -> Iterator[type[PartSpec]]:
    """The Spec of every named part that is a norm, wherever it stands."""
    offered = part_names("norm")
    for name, fields in (tree.get("parts") or {}).items():
        for use in words_of((fields or {}).get("use")) or ():
            if use in offered:
                yield Scope.of("", tree, {}).at("parts", name).spec_class("norm", use, None)


def kept_by(mixers: Iterable[type[PartSpec]]) -> tuple[bool, bool]:
    """Whether some of these mixers keep a state, and whether others attend, which all that have heads do."""
    recurrent, attends = False, False
    for known in mixers:
        recurrent |= known.recurrent
        attends |= not known.recurrent and "heads" in known.model_fields
    return recurrent, attends


def _mixers(branch: Tree | None) -> Iterator[object]:
    if branch and branch.get("mixer"):
        yield branch["mixer"]
    for member in (branch.get("parallel") or {}).values() if branch else ():
        yield from _mixers(member)


def _mixing(scope: Scope, reference: object) -> Iterator[tuple[type[BaseModel], Tree]]:
    if not isinstance(reference, Tree):
        for name in words_of(reference) or ():
            yield from _mixing(scope, liking(name, None))
        return
    fields = scope.derived("parts", reference)[1]
    for use in words_of(fields.get("use")) or ():
        known = scope.spec_class("mixer", use, None)
        yield known, fields
        for name, field in known.model_fields.items():
            if kind_of_part(field) == "mixer":
                yield from _mixing(scope, fields.get(name))
