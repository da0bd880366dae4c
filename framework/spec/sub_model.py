"""A model inside another, whichever family its sub-config names: the scope that its spec is worked out in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NoReturn

from triptych.errors import RegistrationError, SpecError, short
from triptych.spec.catalog import find_family, load_named
from triptych.spec.document import Tree
from triptych.spec.merge import merge
from triptych.spec.scope import Scope
from triptych.spec.structure import check_structure


def child_scope(scope: Scope, sub: Tree, kind: str) -> Scope:
    """The scope of `{spec: =config.x}` or `{spec: name, config: =...}`: in it `config` is the sub-config.

    What stands under `with` is evaluated in the parent and merged into the child's tree, nulls kept; it may also ask
    what the child itself would have said, as `language_model.x` or `towers.image.x`. `inert` adds to the child's.
    """
    name, tree, raw = _named(scope, sub)
    if not tree.get(kind):
        _fail(f"the spec {name!r} has no `{kind}`; it cannot stand here", scope, sub)
    unchanged = Scope.of(name, tree, raw).config
    given = scope.knowing(**_nested(scope.path, unchanged)).value(sub.get("with") or Tree(), keep_null=True)
    merged = merge(tree, given)
    assert isinstance(merged, Tree)
    _check_structure(merged, scope)
    if not merged.get(kind):
        _fail(f"`with` takes away the `{kind}` of {name!r}, and nothing is left to stand here", scope, sub, key="with")
    if inert := [*(merged.get("inert") or ()), *(sub.get("inert") or ())]:
        merged["inert"] = inert
    child = Scope.of(name, merged, raw)
    child.config.asked |= unchanged.asked
    return child.at(*scope.path)


def _named(scope: Scope, sub: Tree) -> tuple[str, Tree, Mapping[str, Any]]:
    """The spec of a sub-model, by its name or by the family of its config, with its name and the config as it is."""
    found = scope.value(sub["spec"], sub.values_at.get("spec"))
    config = scope.value(sub["config"], sub.values_at.get("config")) if sub.get("config") else found
    if not isinstance(config, Mapping):
        _fail(f"a sub-model's config is a mapping, not {short(config)}", scope, sub)
    try:
        name, tree = load_named(found if isinstance(found, str) else find_family(config, inside=True))
    except (SpecError, RegistrationError) as error:
        _fail(str(error), scope, sub)
    return name, tree, getattr(config, "raw", config)


def _check_structure(merged: Tree, scope: Scope) -> None:
    try:
        check_structure(merged)
    except SpecError as error:
        raise SpecError(replace(p, path=".".join((*scope.path, p.path))) for p in error.problems) from None


def _fail(message: str, scope: Scope, sub: Tree, *, key: str = "spec") -> NoReturn:
    raise SpecError(message, path=".".join(scope.path), place=sub.values_at.get(key)) from None


def _nested(path: tuple[str, ...], value: object) -> dict[str, Any]:
    """`value` as the names of `path` lead to it."""
    first, *rest = path
    return {first: _nested(tuple(rest), value) if rest else value}
