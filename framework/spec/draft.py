"""A spec before there is a config: every reference is followed, what is constant is typed, what is unused is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from triptych.errors import Place, Problem, SpecError, short, suggest
from triptych.registry import part_names
from triptych.spec.base import ROLES, is_reference, kind_of_part
from triptych.spec.document import Tree, walk
from triptych.spec.expressions import is_expression, mentions, outcomes
from triptych.spec.scope import REQUIRED, Collector, Scope, liking, models_in, problems_of, unknown_key

STACKS = ("language_model", "tower")


class Draft:
    """A merged tree whose expressions have no value yet. `check` first, then what is `missing` and `unused`."""

    def __init__(self, tree: Tree) -> None:
        self.tree, self.scope = tree, Scope.of("", tree, {})
        self.problems = Collector()
        self.used: dict[str, set[str] | None] = {"parts": set(), "blocks": set()}  # None: any of them may be
        self.bare: list[Problem] = []  # branches in which nothing is mixed
        self.path: tuple[str, ...] = ()

    def check(self) -> list[Problem]:
        """Follow every reference from the stacks, the projectors and the weights down."""
        for section in STACKS:
            self._stack((section,), self.tree.get(section))
        for name, sub in (self.tree.get("towers") or {}).items():
            self._stack(("towers", name), sub)
        for section in ("projectors", "deepstack"):
            for name, steps in (self.tree.get(section) or {}).items():
                self._steps((section, name), steps)
        if (pooler := self.tree.get("pooler")) is not None:
            named = pooler if pooler.get("use") or pooler.get("like") else pooler.having("use", "sequence")
            self._part(("pooler",), "pooler", named, self.tree.values_at.get("pooler"))
        if (positions := self.tree.get("positions")) is not None:
            self._part(("positions",), "positions", positions, self.tree.values_at.get("positions"))
        if size := (self.tree.get("items") or {}).get("size"):
            self._part(("items", "size"), "size", size, self.tree["items"].values_at.get("size"))
        for modality, rule in (self.tree.get("tokens") or {}).items():
            if rule and (sampling := rule.get("sampling")):
                self._part(("tokens", modality, "sampling"), "sampling", sampling, rule.values_at.get("sampling"))
        for number, update in enumerate(self.tree.get("prompt_updates") or ()):
            if isinstance(content := update.get("with"), Tree):
                self._part(("prompt_updates", str(number), "with"), "prompt", content, update.values_at.get("with"))
        self._transforms(("weights",), self.tree.get("weights"))
        return self.problems.problems

    def missing(self) -> Iterator[Problem]:
        """What a spec of a whole model must say of its stacks and branches; a fragment may leave it to others."""
        if any(self.tree.get(key) for key in ("architectures", "model_types", "sample")):
            yield from self.bare
            for section in STACKS:
                stack = self.tree.get(section)
                if stack and not stack.get("spec"):
                    yield from _missing_of_stack(stack, section, self.tree.keys_at.get(section))

    def unused(self) -> Iterator[Problem]:
        """Parts, blocks, bindings and defaults that nothing uses. A fragment's are for its heirs."""
        if self.tree.get("language_model") or self.tree.get("tower"):
            yield from self._unread()
            for group, used in self.used.items():
                offered = self.tree.get(group) or Tree()
                for name, value in offered.items():
                    if used is not None and value is not None and name not in used:
                        near = suggest(name, used)
                        advice = near if "did you mean" in near else ""
                        message = f"nothing uses the {group.removesuffix('s')} {name!r}{advice}"
                        yield Problem(message, f"{group}.{name}", offered.keys_at.get(name))

    def _unread(self) -> Iterator[Problem]:
        """Names under `config` and `defaults` that no expression asks for. Null there takes back a base's."""
        asked = set(self.tree.get("requires") or ())
        for path, leaf, _ in walk(self.tree):
            if path[0] not in ("config", "defaults", "sample"):
                asked |= mentions(leaf)
        names, keys = self.scope.config.behind(asked)
        for section in ("config", "defaults"):
            given = self.tree.get(section) or Tree()
            for name, value in given.items():
                if value is not None and name not in names | keys:
                    message = f"nothing reads {name!r}{suggest(name, names)}"
                    yield Problem(message, f"{section}.{name}", given.keys_at.get(name))

    def _use(self, group: str, names: Iterable[str]) -> None:
        """Count parts or blocks as used, with all that they are like."""
        known, used, todo = self.tree.get(group) or Tree(), self.used[group], list(names)
        while todo and used is not None:
            if (name := todo.pop()) not in used:
                used.add(name)
                like = known[name].get("like") if isinstance(known.get(name), Tree) else None
                todo += [like] if isinstance(like, str) else []

    @contextmanager
    def _following(self, group: str) -> Iterator[None]:
        """Where a reference leads nowhere, what it would have used is not known."""
        try:
            yield
        except SpecError:
            self.used[group] = None
            if group == "blocks":
                self.used["parts"] = None
            raise

    def _stack(self, path: tuple[str, ...], tree: Tree | None) -> None:
        if not tree or tree.get("spec"):
            return
        if tree.get("norm"):
            self._part((*path, "norm"), "norm", tree["norm"], tree.values_at.get("norm"))
        for kind, use in (("embed", "tokens"), ("head", "linear")):
            if (given := tree.get(kind)) is not None:
                named = given if given.get("use") or given.get("like") else given.having("use", use)
                self._part((*path, kind), kind, named, tree.values_at.get(kind))
        cuts = tree.get("cuts") or Tree()
        for name, cut in cuts.items():
            if cut is not None:
                self._part((*path, "cuts", name), "cut", cut, cuts.values_at.get(name))
        layers = tree.get("layers") or Tree()
        if (block := layers.get("block")) is not None:
            self._blocks((*path, "layers", "block"), block, layers.values_at.get("block"))

    def _blocks(self, path: tuple[str, ...], name: str, place: Place | None) -> None:
        words = words_of(name)
        if words is None:  # a config's own word names the block: any may be meant
            self.used["blocks"], words = None, set(self.tree.get("blocks") or ())
        for word in sorted(words):
            with self.problems.catching(), self._following("blocks"):
                block = self.scope.at(*path).named("blocks", word, place)
                self._use("blocks", [word])
                for key, branch in block.items():
                    self._branch(("blocks", word, key), branch, block.keys_at.get(key))

    def _branch(self, path: tuple[str, ...], tree: Tree | None, place: Place | None) -> None:
        if tree is None:
            return
        if bool(tree.get("mixer")) == bool(tree.get("parallel")):
            self.bare.append(Problem("a branch has a `mixer`, or `parallel` members", ".".join(path), place))
        for role in ROLES:
            if tree.get(role):
                self._part((*path, role), "norm", tree[role], tree.values_at.get(role))
        if tree.get("mixer"):
            self._part((*path, "mixer"), "mixer", tree["mixer"], tree.values_at.get("mixer"))
        members = tree.get("parallel") or Tree()
        for name, member in members.items():
            self._branch((*path, name), member, members.keys_at.get(name))

    def _steps(self, path: tuple[str, ...], steps: Any) -> None:
        for word in sorted(words_of(steps) or ()) if isinstance(steps, str) else ():
            with self.problems.catching(), self._following("parts"):
                place = self.tree["projectors"].values_at.get(path[-1])
                self._steps(path, self.scope.at(*path).named("programs", word, place))
        for name, step in steps.items() if isinstance(steps, Tree) else ():
            if step is not None:
                with self.problems.catching(), self._following("parts"):
                    place = steps.values_at.get(name)
                    self._part((*path, name), self._step_kind((*path, name), step, place), step, place)

    def _step_kind(self, path: tuple[str, ...], step: object, place: Place | None) -> str:
        """A step of a projector is a projector's own part or a norm."""
        scope = self.scope.at(*path)
        tree = step if isinstance(step, Tree) else liking(str(step), place) if not is_expression(step) else Tree()
        words = words_of(scope.derived("parts", tree)[1].get("use"))
        return "norm" if words and words <= set(part_names("norm")) else "projector"

    def _transforms(self, path: tuple[str, ...], tree: Any) -> None:
        for key, value in tree.items() if isinstance(tree, Tree) else ():
            if key == "via" and value is not None:
                for step in value if isinstance(value, list) else [value]:
                    named = Tree({"use": step}) if isinstance(step, str) else step
                    self._part((*path, key), "transform", named, tree.values_at.get(key))
            for item in value if isinstance(value, list) else [value]:
                self._transforms((*path, key), item)

    def _part(self, path: tuple[str, ...], kind: str, reference: object, place: Place | None) -> None:
        self.path = path
        with self.problems.catching():
            self._check_part(kind, reference, place)

    def typed_part(self, kind: str, reference: object) -> None:
        """A part inside a part (pydantic's validation context); what it becomes is not known yet."""
        path, self.path = self.path, ()  # problems_of says which field of which part
        try:
            self._check_part(kind, reference, None)
        finally:
            self.path = path

    def _check_part(self, kind: str, reference: object, place: Place | None) -> None:
        scope = self.scope.at(*self.path)
        if is_expression(reference):
            if (words := words_of(reference)) is None:  # a config's own word: any part may be meant
                self.used["parts"] = None
            for word in sorted(words or ()):
                self._check_part(kind, word, place)
            return
        with self._following("parts"):
            if not isinstance(reference, str | Tree):
                scope.fail(f"a {kind} is the name of a part or a mapping, not {short(reference)}", place)
            tree = reference if isinstance(reference, Tree) else liking(reference, place)
            fields = scope.derived("parts", tree)[1]
            place = fields.values_at.get("use", place)
            if not isinstance(use := fields.get("use"), str):
                (scope.at("use") if use is not None else scope).fail(f"a {kind} says `use` or `like`", place)
            if isinstance(like := tree.get("like"), str):
                self._use("parts", [like])
            words = words_of(use)
            models = [scope.spec_class(kind, word, place) for word in sorted(words or ())]
        if words is None:
            self._use("parts", {str(leaf) for _, leaf, _ in walk(fields)})
        for model in models:
            self._type(model, fields.without("use"), place)

    def _type(self, model: type[BaseModel], fields: Tree, place: Place | None) -> None:
        """Type what is constant; fields that hold an expression count as given."""
        later = {key for key, value in fields.items() if any(is_expression(leaf) for _, leaf, _ in walk(value))}
        constant = _given(fields.without(*later))
        path, problems = self.path, list[Problem]()
        for key in fields:
            if key in later and key not in model.model_fields:
                problems.append(Problem(unknown_key(key, model), ".".join((*path, key)), fields.keys_at.get(key)))
            elif key in later:
                self._evaluated_later((*path, key), model.model_fields[key], fields[key], fields.values_at.get(key))
        self.path = path
        try:
            model.model_validate(constant, context=self)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                loc = detail["loc"]
                if (detail["type"] == "missing" and loc[0] in later) or (not loc and later):
                    continue
                problems += problems_of(detail, model, constant, path, place)
        if problems:
            raise SpecError(problems)

    def _evaluated_later(self, path: tuple[str, ...], field: FieldInfo, value: object, place: Place | None) -> None:
        """What can be said of a field that holds an expression: of the part that it is, or of the fields in it."""
        kind, inner = kind_of_part(field), _fields_of(field)
        if kind and (inner is None or is_reference(value)):
            self._part(path, kind, value, place)
        elif inner is not None and isinstance(value, Tree):
            self.path = path
            with self.problems.catching():
                self._type(inner, value, place)


def _given(tree: Tree) -> Tree:
    """What a tree says: null is absent, however deep it stands."""
    found = Tree()
    for key, value in tree.items():
        if value is not None:
            found.put(key, _given(value) if isinstance(value, Tree) else value, tree)
    return found


def words_of(value: object) -> set[str] | None:
    """The names that a value may come to; None when a config decides."""
    if not isinstance(value, str):
        return set()
    if not is_expression(value):
        return {value}
    try:
        found = outcomes(value)
    except SpecError:  # said of every expression that cannot be read
        return None
    return None if found is None else set(found)


def _fields_of(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a field that is a mapping of fields of its own; None where it is none, or one of several."""
    found = set(models_in(field))
    return found.pop() if len(found) == 1 else None


def _missing_of_stack(stack: Tree, section: str, place: Place | None) -> Iterator[Problem]:
    layers = stack.get("layers") or Tree()
    for owner, path, keys in ((stack, section, ("width", "embed")), (layers, f"{section}.layers", ("count", "block"))):
        at = place if owner is stack else stack.keys_at.get("layers", place)
        yield from (Problem(REQUIRED, f"{path}.{key}", at) for key in keys if owner.get(key) is None)
