"""Placeholders: which token stands for an item and how many of it, by the one formula of the spec. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from triptych.errors import SpecError
from triptych.spec.base import PartSpec
from triptych.spec.document import Tree
from triptych.spec.scope import Collector, Scope

Count = Callable[[int, int, Mapping[str, Any]], int]


@dataclass(frozen=True)
class TokenRule:
    """The `placeholder` id of a modality; `target`, the text of a prompt that one item stands for.

    `count(height, width, processor)` is the number of placeholders of an item of that size in pixels, as the processor
    of that configuration prepares it. Prompt expansion, dummy inputs and the merge check all ask this one function.
    """

    placeholder: int
    target: str
    count: Count


def token_rules(scope: Scope, scopes: Mapping[str, Scope]) -> dict[str, TokenRule]:
    """The rules of a multimodal spec by modality. Raises SpecError for what is missing or of the wrong kind."""
    found, problems = {}, Collector()
    for modality, tree in (scope.tree.get("tokens") or {}).items():
        with problems.catching():
            if tree is not None:
                at = scope.at("tokens", modality)
                found[modality] = _rule(at, tree, modality, scopes.get(f"towers.{modality}", scope))
    problems.check()
    return found


def _rule(scope: Scope, tree: Tree, modality: str, tower: Scope) -> TokenRule:
    placeholder = scope.value(tree.get("placeholder"), tree.values_at.get("placeholder"))
    if not isinstance(placeholder, int):
        raise SpecError(f"the placeholder is a token id, not {placeholder!r}", path=".".join(scope.path))
    updates = scope.tree.get("prompt_updates") or ()
    targets = [update["replace"] for update in updates if update["modality"] == modality]
    if len(targets) != 1:
        raise SpecError(
            f"{len(targets)} entries of prompt_updates for it; one says what it replaces", path=".".join(scope.path)
        )
    return TokenRule(placeholder, targets[0], _count(scope, tree, tower))


def _count(scope: Scope, tree: Tree, tower: Scope) -> Count:
    items = tower.tree.get("items") or Tree()
    size: PartSpec = tower.at("items", "size").part("size", items.get("size"), items.values_at.get("size"))[1]

    def count(height: int, width: int, processor: Mapping[str, Any]) -> int:
        grid = size.build()(height, width, processor)._asdict()
        rows = tower.knowing(grid=grid).value(items.get("rows"), items.values_at.get("rows"))
        return int(scope.knowing(grid=grid, rows=rows).value(tree.get("count"), tree.values_at.get("count")))

    tower.mention(items.get("rows"))
    scope.mention(tree.get("count"))
    return count
