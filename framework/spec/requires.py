"""What a spec `requires` of the configs that it serves: of each as a whole, and of each of its layers."""

from __future__ import annotations

from collections.abc import Iterator

from triptych.errors import Problem, SpecError, short
from triptych.spec.document import Tree
from triptych.spec.expressions import Missing
from triptych.spec.scope import Scope


def unmet(scope: Scope) -> Iterator[Problem]:
    """What is required and not so, of the layer alone where the scope is of one; where nothing is said, all is well."""
    requires = scope.tree.get("requires") or Tree()
    for key, allowed in requires.items():
        if allowed is None:  # a child takes back what its base requires
            continue
        found = _said(scope, key) if scope.names.layer is None else _said_of_layer(scope, key)
        choices = allowed if isinstance(allowed, list) else [allowed]
        if found is not None and found not in choices:
            message = (
                f"this config has `{key}: {short(found)}`; {scope.name} serves {' or '.join(map(repr, choices))} only"
            )
            yield Problem(message, f"config.{key}", requires.values_at.get(key))


def check_layer(scope: Scope) -> None:
    """Raise SpecError for what is required and not so in the layer that the scope is of."""
    if problems := [*unmet(scope)]:
        raise SpecError(problems)


def _said(scope: Scope, key: str) -> object:
    """On disk, by default or by an expression; None where none of these says anything of the config as a whole."""
    try:
        return scope.config[key]
    except SpecError:  # it may be one of each layer; else the layers tell
        return None


def _said_of_layer(scope: Scope, key: str) -> object:
    """The same of a layer; None for what is so of all of them."""
    before = scope.names.layer_reads
    try:
        found: object = scope.config[key]
    except Missing:
        return None
    return found if scope.names.layer_reads > before else None
