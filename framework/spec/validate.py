"""What can be said of a spec without any config: names, types of what is constant, expressions, what nothing uses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from triptych.errors import Place, Problem, SpecError, TriptychError, suggest
from triptych.registry import part_names
from triptych.spec.base import PartSpec
from triptych.spec.document import Tree, walk
from triptych.spec.expressions import is_expression, outcomes, parse
from triptych.spec.merge import load_tree
from triptych.spec.plan import ROLES
from triptych.spec.scope import Collector, Scope, problems_of
from triptych.spec.structure import check_structure

ROOTS = frozenset({"config", "layer"})
CHILDREN = frozenset({"towers", "language_model"})
SPEAKS_OF = {  # section -> what its expressions may name
    "items": frozenset({"config", "grid"}),
    "tokens": frozenset({"config", "rows", "grid"}) | CHILDREN,
    "projectors": ROOTS | CHILDREN,
    "programs": ROOTS | CHILDREN,
}


def validate(path: Path) -> list[Problem]:
    """Every mistake of the spec in a file, in the order of its lines. Imports no torch."""
    try:
        tree = load_tree(path)
        check_structure(tree)
    except TriptychError as error:
        return list(error.problems)
    draft = Draft(path.stem, tree)
    problems = [*_bad_expressions(tree), *draft.check(), *_bad_rows(tree)]
    return sorted(dict.fromkeys(problems), key=lambda p: p.place or Place("", 0, 0))


def _bad_expressions(tree: Tree) -> Iterator[Problem]:
    for path, value, place in walk(tree):
        if is_expression(value) and path[0] not in ("defaults", "sample"):
            try:
                expression = parse(str(value))
            except SpecError as error:
                yield Problem(str(error), ".".join(path), place)
                continue
            known = _speaks_of(path)
            for root in sorted(expression.roots - known):
                yield Problem(f"{value!r}: {root!r} has no meaning here{suggest(root, known)}", ".".join(path), place)


def _speaks_of(path: tuple[str, ...]) -> frozenset[str]:
    """What an expression at `path` may name. Under `with` a parent may ask a child what that would have said."""
    if path[0] in CHILDREN and "with" in path:
        return ROOTS | {path[0]}
    return SPEAKS_OF.get(path[0], ROOTS)


class Draft:
    """A spec whose expressions are not known yet: every reference is followed and what is constant is typed."""

    def __init__(self, name: str, tree: Tree) -> None:
        self.tree, self.scope = tree, Scope.of(name, tree, {})
        self.problems = Collector()
        self.parts_used: set[str] = set()
        self.blocks_used: set[str] | None = set()
        self.path: tuple[str, ...] = ()

    def check(self) -> list[Problem]:
        """Follow every reference from the stacks, the projectors and the weights down."""
        for section in ("language_model", "tower"):
            self._stack((section,), self.tree.get(section))
        for name, sub in (self.tree.get("towers") or {}).items():
            self._stack(("towers", name), sub)
        for name, steps in (self.tree.get("projectors") or {}).items():
            self._steps(("projectors", name), steps)
        if size := (self.tree.get("items") or {}).get("size"):
            self._part(("items", "size"), "size", size)
        self._transforms(("weights",), self.tree.get("weights"))
        return [*self.problems.problems, *self._unused()]

    def _stack(self, path: tuple[str, ...], tree: Tree | None) -> None:
        if not tree or "spec" in tree:
            return
        if tree.get("norm"):
            self._part((*path, "norm"), "norm", tree["norm"], tree.values_at.get("norm"))
        for kind, use in (("embed", "tokens"), ("head", "linear")):
            if (given := tree.get(kind)) is not None:
                self._part(
                    (*path, kind), kind, given if given.get("use") or given.get("like") else _with(given, "use", use)
                )
        layers = tree.get("layers") or Tree()
        self._blocks((*path, "layers", "block"), layers.get("block"), layers.values_at.get("block"))

    def _blocks(self, path: tuple[str, ...], name: object, place: Place | None) -> None:
        words = outcomes(name) if is_expression(name) and isinstance(name, str) else {name} - {None}
        if words is None:  # a config's own word names the block: any may be meant
            self.blocks_used, words = None, set(self.tree.get("blocks") or ())
        for word in words:
            with self.problems.catching():
                block = self.scope.at(*path).named("blocks", str(word), place)
                if self.blocks_used is not None:
                    self.blocks_used |= {str(word), *self._chain("blocks", str(word))}
                for key, branch in block.items():
                    self._branch(("blocks", str(word), key), branch)

    def _chain(self, group: str, name: str) -> Iterator[str]:
        """What a block or part is like, and what that is like in turn."""
        tree: Any = self.tree.get(group) or {}
        for _ in range(len(tree)):
            like = tree[name].get("like") if isinstance(tree.get(name), Tree) else None
            if not isinstance(like, str):
                return
            yield (name := like)

    def _branch(self, path: tuple[str, ...], tree: Tree | None) -> None:
        if tree is None:
            return
        for role in ROLES:
            if tree.get(role):
                self._part((*path, role), "norm", tree[role], tree.values_at.get(role))
        if tree.get("mixer"):
            self._part((*path, "mixer"), "mixer", tree["mixer"], tree.values_at.get("mixer"))
        for name, member in (tree.get("parallel") or {}).items():
            self._branch((*path, name), member)

    def _steps(self, path: tuple[str, ...], steps: Any) -> None:
        if isinstance(steps, str):
            with self.problems.catching():
                steps = self.scope.at(*path).named("programs", steps)
        for name, step in steps.items() if isinstance(steps, Tree) else ():
            if step is not None:
                use = step.get("use") if isinstance(step, Tree) else None
                kind = "norm" if use in part_names("norm") else "projector"
                self._part((*path, name), kind, step, steps.values_at.get(name))

    def _transforms(self, path: tuple[str, ...], tree: Any) -> None:
        for key, value in tree.items() if isinstance(tree, Tree) else ():
            if key == "via" and value is not None:
                for step in value if isinstance(value, list) else [value]:
                    self._part((*path, key), "transform", Tree({"use": step}) if isinstance(step, str) else step)
            for item in value if isinstance(value, list) else [value]:
                self._transforms((*path, key), item)

    def _part(self, path: tuple[str, ...], kind: str, reference: object, place: Place | None = None) -> None:
        self.path = path
        with self.problems.catching():
            self._check_part(kind, reference, place)

    def typed_part(self, kind: str, reference: object) -> None:
        """A part inside a part (pydantic's validation context); what it becomes is not known yet."""
        self._check_part(kind, reference, None)

    def _check_part(self, kind: str, reference: object, place: Place | None) -> None:
        if is_expression(reference):
            for word in outcomes(str(reference)) or ():
                self._check_part(kind, word, place)
            if outcomes(str(reference)) is None:  # a config's own word: any part may be meant
                self.parts_used |= set(self.tree.get("parts") or ())
            return
        tree = Tree({"like": reference}) if isinstance(reference, str) else reference
        scope = self.scope.at(*self.path)
        if not isinstance(tree, Tree):
            raise SpecError(
                f"a {kind} is the name of a part or a mapping, not {reference!r}", path=".".join(self.path), place=place
            )
        if place and "like" in tree and "like" not in tree.values_at:
            tree.values_at["like"] = place
        if isinstance(like := tree.get("like"), str):
            self.parts_used |= {like, *self._chain("parts", like)}
        fields = scope.derived("parts", tree)[1]
        use = fields.get("use")
        if not isinstance(use, str):
            raise SpecError(f"a {kind} says `use` or `like`", path=".".join(self.path), place=place)
        for word in (outcomes(use) or ()) if is_expression(use) else [use]:
            model = scope.spec_class(kind, word, fields.values_at.get("use", place))
            self._type(model, fields.without("use"), place)

    def _type(self, model: type[PartSpec], fields: Tree, place: Place | None) -> None:
        """Type what is constant; fields that hold an expression count as given."""
        later = {key for key, value in fields.items() if _holds_expression(value)}
        constant = fields.without(*later, *(key for key, value in fields.items() if value is None))
        path = self.path
        problems = [
            Problem(
                f"unknown key {key!r}{suggest(key, model.model_fields)}",
                ".".join((*path, key)),
                fields.keys_at.get(key),
            )
            for key in later
            if key not in model.model_fields
        ]
        try:
            model.model_validate(constant, context=self)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                loc = detail["loc"]
                if (detail["type"] == "missing" and loc[0] in later) or (not loc and later):
                    continue
                problems += problems_of(detail, model, constant, path, place)
        self.path = path
        if problems:
            raise SpecError(problems)

    def _unused(self) -> Iterator[Problem]:
        if not self.tree.get("language_model") and not self.tree.get("tower"):
            return  # a fragment: its heirs use what it offers
        for name, place in _named(self.tree, "parts"):
            if name not in self.parts_used:
                known = self.parts_used
                yield Problem(
                    f"nothing uses the part {name!r}{_near(name, known)}; null deletes an inherited one",
                    f"parts.{name}",
                    place,
                )
        for name, place in _named(self.tree, "blocks"):
            if self.blocks_used is not None and name not in self.blocks_used:
                known = self.blocks_used
                yield Problem(
                    f"nothing uses the block {name!r}{_near(name, known)}; null deletes an inherited one",
                    f"blocks.{name}",
                    place,
                )


def _named(tree: Tree, group: str) -> list[tuple[str, Place | None]]:
    found = tree.get(group) or Tree()
    return [(name, found.keys_at.get(name)) for name, value in found.items() if value is not None]


def _near(name: str, known: Iterable[str]) -> str:
    found = suggest(name, known)
    return found.rstrip("?") if "did you mean" in found else ""


def _with(tree: Tree, key: str, value: object) -> Tree:
    found = tree.without()
    found[key] = value
    return found


def _holds_expression(value: object) -> bool:
    return any(is_expression(leaf) for _, leaf, _ in walk(value))


def _bad_rows(tree: Tree) -> Iterator[Problem]:
    """Rows of the weights table whose path leads nowhere in this spec."""
    if tree.get("language_model") or tree.get("tower"):
        known = _paths(tree)
        for path, place in _row_paths(tree.get("weights") or Tree(), ()):
            for depth, step in enumerate(path):
                below = known.get(path[:depth])
                if below is not None and step not in below:
                    yield Problem(
                        f"no {step!r} in this model{suggest(step, below)}", ".".join(("weights", *path)), place
                    )
                    break


def _paths(tree: Tree) -> Mapping[tuple[str, ...], set[str]]:
    """What may follow each beginning of a row's path, as far as the spec tells."""
    stack = {"embed", "norm", "head", "layers"}
    top = (
        {"towers", "projectors", "language_model"}
        if tree.get("towers") or "spec" in (tree.get("language_model") or {})
        else set()
    )
    branches: dict[str, set[str]] = {}
    for block in (tree.get("blocks") or {}).values():
        for name, branch in (block or {}).items():
            if isinstance(branch, Tree):
                members = branch.get("parallel") or Tree()
                for key in (name, *members):
                    branches[key] = set(ROLES) | set(tree.get("parts") or ()) | set(part_names("mixer"))
    known: dict[tuple[str, ...], set[str]] = {(): top or stack}
    if not top:
        known["layers", "{i}"] = set(branches)
        known |= {("layers", "{i}", name): below for name, below in branches.items()}
    for section in ("towers", "projectors"):
        known[section,] = {name for name, value in (tree.get(section) or {}).items() if value is not None}
    return known


def _row_paths(tree: Tree, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Place | None]]:
    for key, value in tree.items():
        if key in ("at", "drop", "layouts") or value is None:
            continue
        path = (*above, *key.split("."))
        if isinstance(value, Tree) and "from" not in value and path[0] not in ("towers", "language_model"):
            yield from _row_paths(value, path)
        else:
            yield path, tree.keys_at.get(key)
