"""The input schemas of a spec: what stands under `schemas`, and which of them the items of each modality have.

A schema is a mapping of fields, whose dims may be =expressions, or the name of a registered one. `items.schema` names
for a modality the schema that its tower takes, and after it those that may stand in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from triptych.errors import Place, Problem, SchemaError, SpecError, TriptychError, suggest
from triptych.registry.named import Kind, Schema, check_name, get_schema, schema_names
from triptych.schemas import TaggedUnion, TensorSchema, compile_schema
from triptych.schemas.items import ItemSchema
from triptych.spec.document import Items, Tree, walk
from triptych.spec.expressions import is_expression
from triptych.spec.scope import Collector, Scope
from triptych.spec.tokens import tower_of

Known = Mapping[str, Schema | None]  # None: there is one of that name, and no more is known of it yet
NAMED: tuple[Kind, ...] = ("processor", "dummy_inputs", "transcription")


def plan_schemas(scope: Scope) -> dict[str, Schema]:
    """The schemas of a spec, compiled for a config. Raises SpecError with every mistake."""
    return {name: found for name, found in _compiled(scope, get_schema, Scope.value).items() if found is not None}


def plan_items(scope: Scope, known: Known, scopes: Mapping[str, Scope]) -> dict[str, ItemSchema]:
    """The schemas of items by modality; where the spec says none, those of the tower's own spec, by `scopes`.

    Raises SpecError with every mistake.
    """
    found, problems = dict[str, ItemSchema](), Collector()
    with problems.catching():
        found = _items(scope, known, get_schema)
    for modality in dict.fromkeys([*(scope.tree.get("towers") or ()), *(scope.tree.get("tokens") or ())]):
        if (tower := scopes.get(f"towers.{tower_of(scope.tree, modality)}")) is not None:
            for _, value, _ in walk(tower.tree.get("schemas")):
                tower.mention(value)
            if modality not in found and not problems.problems:
                with problems.catching():
                    found |= _of_tower(tower, modality)
    problems.check()
    return found


def _of_tower(tower: Scope, modality: str) -> dict[str, ItemSchema]:
    if not ((tower.tree.get("items") or Tree()).get("schema") or Tree()).get(modality):
        return {}
    items = _items(replace(tower, tree=tower.tree.without("towers")), plan_schemas(tower), get_schema)
    return {modality: items[modality]}


def draft_schemas(tree: Tree) -> list[Problem]:
    """What is wrong with schemas, as far as can be told without a config; nothing registered is imported."""
    scope, problems, known = Scope.of("", tree, {}), Collector(), dict[str, Schema | None]()
    with problems.catching():
        known = _compiled(scope, _only_named, _constant)
        _items(scope, known, _only_named)
    return [*problems.problems, *named_problems(tree)]


def named_problems(tree: Tree) -> Iterator[Problem]:
    """Names of a processor and of dummy inputs that nothing is registered under, or too much."""
    for kind in NAMED:
        if (name := tree.get(kind)) is not None:
            try:
                check_name(kind, name)
            except TriptychError as error:
                yield Problem(str(error), kind, tree.values_at.get(kind))


def _only_named(name: str) -> None:
    check_name("schema", name)


def _compiled(
    scope: Scope, registered: Callable[[str], Schema | None], evaluate: Callable[[Scope, Tree], Tree]
) -> dict[str, Schema | None]:
    section, problems = scope.tree.get("schemas") or Tree(), Collector()
    found = dict[str, Schema | None]()
    for name, given in section.items():
        at, place = scope.at("schemas", name), section.values_at.get(name)
        with problems.catching():
            if isinstance(given, str):
                found[name] = _told(registered, given, at, place)
            elif given is not None:
                found[name] = _compile(name, evaluate(at, given), at, place)
    problems.check()
    return found


def _compile(name: str, tree: Tree, scope: Scope, place: Place | None) -> type[TensorSchema]:
    try:
        return compile_schema(name, tree)
    except SchemaError as error:
        above = scope.path[:-1]
        raise SpecError(
            replace(p, path=".".join((*above, p.path)), place=p.place or place) for p in error.problems
        ) from None


def _told(registered: Callable[[str], Schema | None], name: str, scope: Scope, place: Place | None) -> Schema | None:
    try:
        return registered(name)
    except TriptychError as error:
        scope.fail(str(error), place)


def _items(scope: Scope, known: Known, registered: Callable[[str], Schema | None]) -> dict[str, ItemSchema]:
    section = (scope.tree.get("items") or Tree()).get("schema") or Tree()
    towers = {name for name, tower in (scope.tree.get("towers") or {}).items() if tower}
    found, problems = dict[str, ItemSchema](), Collector()
    for modality, given in section.items():
        at, place = scope.at("items", "schema", modality), section.values_at.get(modality)
        with problems.catching():
            if given is not None and towers and tower_of(scope.tree, modality) not in towers:
                at.fail(f"no tower {modality!r} takes them{suggest(modality, towers)}", section.keys_at.get(modality))
            if given is not None and (item := _item(at, given, place, known, registered)):
                found[modality] = item
    problems.check()
    return found


def _item(
    scope: Scope, given: str | Items, place: Place | None, known: Known, registered: Callable[[str], Schema | None]
) -> ItemSchema | None:
    names = [(given, place)] if isinstance(given, str) else list(zip(given, given.places, strict=True))
    problems, branches = Collector(), list[type[TensorSchema]]()
    whole = True
    for name, at in names:
        with problems.catching():
            schema = known[name] if name in known else _referred(registered, name, known, scope, at)
            whole = whole and schema is not None
            branches += schema.branches if isinstance(schema, TaggedUnion) else [schema] if schema else []
    problems.check()
    if not whole:
        return None
    try:
        return ItemSchema(branches[0], tuple(branches[1:]))
    except SchemaError as error:
        problems_here = (Problem(f"{p.path}: {p.message}", ".".join(scope.path), place) for p in error.problems)
        raise SpecError(problems_here) from None


def _referred(
    registered: Callable[[str], Schema | None], name: str, known: Known, scope: Scope, place: Place | None
) -> Schema | None:
    if name not in (others := schema_names()):
        scope.fail(f"no schema {name!r} here or registered{suggest(name, [*known, *others])}", place)
    return _told(registered, name, scope, place)


def _constant(_: Scope, tree: Tree) -> Tree:
    """A schema before there is a config: a dim that an expression gives is some number; what else one gives is left."""
    found = Tree()
    for field, entry in tree.items():
        if not is_expression(entry):
            said = _said(entry) if isinstance(entry, Tree) else _dims(entry)
            if said is not None:
                found.put(field, said, tree)
    return found


def _said(entry: Tree) -> Tree | None:
    """The keys of a field that no expression gives; None when one gives all that the field is."""
    if any(is_expression(entry.get(key)) for key in ("shape", "literal")):
        return None
    found = Tree()
    for key, value in entry.items():
        if key == "shape" or not any(is_expression(leaf) for _, leaf, _ in walk(value)):
            found.put(key, _dims(value), entry)
    return found


def _dims(value: object) -> object:
    if not isinstance(value, Items):
        return value
    return Items([1 if is_expression(dim) else dim for dim in value], value.places)
