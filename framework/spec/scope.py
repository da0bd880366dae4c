"""Where names mean something: a merged spec beside one config. Expressions get values here, and parts their types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from triptych.errors import Place, Problem, SpecError, TriptychError, short, suggest
from triptych.registry import get_part
from triptych.spec.base import PartSpec
from triptych.spec.config import Config, Names, bindings
from triptych.spec.document import Items, Tree, locate, walk
from triptych.spec.expressions import is_expression, mentions, outcomes, parse

M = TypeVar("M", bound=BaseModel)
REQUIRED = "required, and not given"
MAX_LIKE = 100


@dataclass
class Record:
    """What planning one spec noted: names that were used, parts that could be, parts that are typed already."""

    mentions: set[str] = field(default_factory=set)
    offered: set[tuple[str, str]] = field(default_factory=set)
    typed: dict[tuple[str, str | int], tuple[object, tuple[str, PartSpec]]] = field(default_factory=dict)


class Collector:
    """Gathers the problems of several attempts, to raise them all at once."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    @contextmanager
    def catching(self) -> Iterator[None]:
        try:
            yield
        except SpecError as error:
            self.problems += error.problems

    def check(self) -> None:
        """Raise SpecError with everything gathered, each problem once: a part used in many places is one mistake."""
        if self.problems:
            once = {(p.place or p.path, p.message): p for p in reversed(self.problems)}
            raise SpecError(reversed(once.values()))


@dataclass(frozen=True)
class Scope:
    """A spec `tree` read beside a `config`; `path` is where in the model we are, for messages."""

    name: str
    tree: Tree
    config: Config
    names: Names
    record: Record
    path: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, tree: Tree, raw: Mapping[str, Any]) -> Scope:
        names = Names({}, None)
        config = Config(raw, bindings(tree), names)
        names.given["config"] = config
        return cls(name, tree, config, names, Record())

    def at(self, *path: str) -> Scope:
        return replace(self, path=(*self.path, *path))

    def at_layer(self, layer: int) -> Scope:
        names = Names(self.names.given, layer)
        config = Config(self.config.raw, self.config.own, names)
        config.asked = self.config.asked
        names.given["config"] = config
        return replace(self, config=config, names=names, path=(*self.path, "layers", str(layer)))

    def knowing(self, **names: Any) -> Scope:
        """The same scope where expressions may speak of more (`towers`, `rows`, `grid`)."""
        more = Names({**self.names.given, **names}, self.names.layer)
        config = Config(self.config.raw, self.config.own, more)
        config.asked = self.config.asked
        more.given["config"] = config
        return replace(self, config=config, names=more)

    def mention(self, raw: object) -> None:
        """Note what an expression reads of the config that is evaluated later, once an item is known."""
        self.record.mentions.update(mentions(raw))

    def offer(self, group: str, chosen: object) -> None:
        """Note what all blocks or parts read that an expression chooses among.

        What only those say that no layer takes changes nothing, and is known all the same.
        """
        known, done = _there(self.tree.get(group) or {}), self.record.offered
        for name in outcomes(str(chosen)) or () if is_expression(chosen) else [chosen]:
            if isinstance(name, str) and name in known and (group, name) not in done:
                done.add((group, name))
                for path, value, _ in walk(self.derived(group, liking(name, None))[1]):
                    self.mention(value)
                    if path[-1:] != ("use",):
                        self.offer("parts", value)

    def value(self, raw: object, place: Place | None = None, *, keep_null: bool = False) -> Any:
        """`raw` with every expression in it evaluated, and without the keys that came out null unless `keep_null`.

        Raises SpecError with the place of every expression that has no value.
        """
        if is_expression(raw):
            return self._evaluated(str(raw), place)
        if isinstance(raw, Tree):
            return self._tree(raw, keep_null=keep_null)
        if isinstance(raw, Items):
            return Items([self.value(v, at) for v, at in zip(raw, raw.places, strict=True)], raw.places)
        return raw

    def _evaluated(self, text: str, place: Place | None) -> Any:
        try:
            expression = parse(text)
            self.record.mentions.update(expression.mentions)
            return expression.evaluate(self.names)
        except SpecError as error:
            raise SpecError(str(error), path=".".join(self.path), place=place) from None

    def _tree(self, raw: Tree, *, keep_null: bool) -> Tree:
        found, problems = Tree(), Collector()
        for key, item in raw.items():
            with problems.catching():
                value = self.at(key).value(item, raw.values_at.get(key), keep_null=keep_null)
                if value is not None or keep_null:
                    found.put(key, value, raw)
        problems.check()
        return found

    def named(self, group: str, name: str, place: Place | None = None) -> Tree:
        """The block or part of that name, with what it is `like` filled in."""
        known = _there(self.tree.get(group) or {})
        if name not in known:
            self.fail(f"no {name!r} in {group}{suggest(name, known)}", place)
        return self.derived(group, known[name])[1]

    def derived(self, group: str, tree: Tree) -> tuple[str | None, Tree]:
        """A tree with what it is `like` filled in, and the name at the root of that chain."""
        known, chain = self.tree.get(group) or {}, list[str]()
        while tree.get("like") is not None:
            name, place = tree["like"], tree.values_at.get("like")
            if not isinstance(name, str) or is_expression(name):
                self.fail(f"`like` is the name of one of the {group}, not {short(name)}", place)
            if name in chain:
                self.fail(f"`like` leads round in a circle: {' -> '.join((*chain, name))}", place)
            if not isinstance(known.get(name), Tree):
                self.fail(f"no {name!r} in {group}{suggest(name, _there(known))}", place)
            if len(chain) == MAX_LIKE:
                self.fail(f"`like` leads through more than {MAX_LIKE} {group}", place)
            chain.append(name)
            tree = _on_top(known[name], tree.without("like"))
        return (chain[-1] if chain else None), tree

    def fail(self, message: str, place: Place | None) -> NoReturn:
        """Raise SpecError: what is wrong, where in the model we are, where it was written."""
        raise SpecError(message, path=".".join(self.path), place=place)

    def part(self, kind: str, reference: object, place: Place | None = None) -> tuple[str, PartSpec]:
        """A part by name (`attention`), derived (`{like: attention, window: 16}`) or inline (`{use: rope}`).

        Returns its label (the part's name, the root of what it is like, or the registered name) and its typed Spec.
        """
        reference = self.value(reference, place) if isinstance(reference, str) else reference
        key = (kind, reference if isinstance(reference, str) else id(reference))
        if (known := self.record.typed.get(key)) is not None:
            return known[1]
        before = self.names.layer_reads
        found = self._part(kind, reference, place)
        if self.names.layer_reads == before:
            self.record.typed[key] = (reference, found)  # the reference too: its id stays its own
        return found

    def _part(self, kind: str, reference: object, place: Place | None) -> tuple[str, PartSpec]:
        if isinstance(reference, str):
            root, tree = self.derived("parts", liking(reference, place))
        elif isinstance(reference, Tree):
            root, tree = self.derived("parts", reference)
        else:
            self.fail(
                f"a {kind} is the name of a part or a mapping with `use` or `like`, not {short(reference)}", place
            )
        fields = self.value(tree)
        place = fields.values_at.get("use", place)
        if not isinstance(use := fields.get("use"), str):
            self.fail(f"a {kind} says `use` or `like`", place)
        return root or use, self.typed(self.spec_class(kind, use, place), fields.without("use"), place)

    def spec_class(self, kind: str, name: str, place: Place | None) -> type[PartSpec]:
        """The Spec registered for a part. Raises SpecError at `place` for an unknown name and for a broken part."""
        try:
            part = get_part(kind, name)
            found = part.spec
        except TriptychError as error:
            self.at("use").fail(str(error), place)
        if not issubclass(found, PartSpec):
            self.at("use").fail(f"{kind} {name!r} ({part.origin}): its Spec is no PartSpec", place)
        return found

    def typed_part(self, kind: str, reference: object) -> PartSpec:
        """As `part`, for the fields of other parts that hold one (pydantic's validation context)."""
        return replace(self, path=()).part(kind, reference)[1]  # problems_of says which field of which part

    def typed(self, model: type[M], fields: Tree, place: Place | None = None) -> M:
        """The fields as the typed `model`. Raises SpecError with every mistake, each at its place."""
        try:
            return model.model_validate(fields, context=self)
        except ValidationError as error:
            details = error.errors(include_url=False)
            raise SpecError(
                problem for detail in details for problem in problems_of(detail, model, fields, self.path, place)
            ) from None


def problems_of(
    detail: ErrorDetails, model: type[BaseModel], fields: Tree, path: tuple[str, ...], place: Place | None
) -> list[Problem]:
    """What pydantic found, in our words and at its place."""
    loc = _steps(detail, fields)
    where, at = ".".join(map(str, (*path, *loc))), locate(fields, loc) or place
    raised = detail.get("ctx", {}).get("error")
    if isinstance(raised, SpecError):  # from a part inside this one: it has places of its own
        inner = [(p, f"{where}.{p.path}" if p.path else where) for p in raised.problems]
        return [replace(p, path=below, place=p.place or at) for p, below in inner]
    message = detail["msg"].removeprefix("Value error, ").replace("Input should", "input should", 1)
    if detail["type"] == "extra_forbidden":
        at = _key_place(fields, loc) or at
        message = unknown_key(str(loc[-1]), _model_at(model, loc))
    elif detail["type"] == "missing":
        message = REQUIRED
    elif detail["type"] in ("model_type", "dict_type", "model_attributes_type"):
        message = f"a mapping is wanted; found {short(detail['input'])}"
    elif detail["loc"][-1:] == ("[key]",):
        at = _key_place(fields, loc) or at
    elif loc and not isinstance(detail["input"], Mapping | BaseModel):
        message = f"{message}; found {short(detail['input'])}"
    return [Problem(message, where, at)]


def _steps(detail: ErrorDetails, fields: Tree) -> tuple[str | int, ...]:
    """Where in `fields` it is, less the words by which pydantic tells the choices of a type apart."""
    node: Any = fields
    found: list[str | int] = []
    for number, step in enumerate(detail["loc"]):
        places = range(len(node)) if isinstance(node, list) else node if isinstance(node, Mapping) else ()
        known = step in places
        if known:
            node = node[step]
        if known or (detail["type"] == "missing" and number == len(detail["loc"]) - 1):
            found.append(step)
    return tuple(found)


def unknown_key(key: str, model: type[BaseModel]) -> str:
    """A message with what would do beside a key that the model has not: a name near it, or where that key stands."""
    names = {field.alias or name: field for name, field in model.model_fields.items()}
    within = [(f, name) for name, field in names.items() for inner in models_in(field) for f in inner.model_fields]
    below = [name for inner, name in within if inner == key]
    if len(below) == 1:
        return f"unknown key {key!r}; it stands under {below[0]!r}"
    if not get_close_matches(key, names, 1) and (near := get_close_matches(key, [inner for inner, _ in within], 1)):
        return f"unknown key {key!r}; did you mean '{dict(within)[near[0]]}.{near[0]}'?"
    return f"unknown key {key!r}{suggest(key, names)}"


def _model_at(model: type[BaseModel], loc: tuple[str | int, ...]) -> type[BaseModel]:
    """The model that the path leads to."""
    for step in loc[:-1]:
        found = next((f for name, f in model.model_fields.items() if step in (name, f.alias)), None)
        inner = list(models_in(found)) if found else []
        model = inner[0] if inner else model
    return model


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a type holds."""
    annotation = getattr(annotation, "annotation", annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from models_in(inner)


def _key_place(fields: Tree, loc: tuple[str | int, ...]) -> Place | None:
    node: object = fields
    for step in loc[:-1]:
        node = node.get(str(step)) if isinstance(node, Tree) else None
    return node.keys_at.get(str(loc[-1])) if isinstance(node, Tree) else None


def _there(group: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tree for name, tree in group.items() if tree is not None}


def _on_top(base: Tree, child: Tree) -> Tree:
    from triptych.spec.merge import merge

    """What it is like, with what is said beside that: another `use` keeps the fields, which both parts then have."""
    found = merge(base, child.without("use"))
    assert isinstance(found, Tree)
    if "use" in child:
        found.put("use", child["use"], child)
    return found


def liking(name: str, place: Place | None) -> Tree:
    """`{like: name}`, which stands at `place`."""
    found = Tree({"like": name})
    if place is not None:
        found.keys_at["like"] = found.values_at["like"] = place
    return found
