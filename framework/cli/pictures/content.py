"""What a picture of a model shows, of whichever kind it is: boxes with text, what is inside what, where rows go."""

from __future__ import annotations

from collections.abc import Iterator

from triptych.check.outline import Node
from triptych.cli.node_words import facts, options, title

PLAIN = "#ffffff"
COLOURS = {"tower": "#dbeafe", "projector": "#fef3c7", "language_model": "#dcfce7", "pooler": "#fce7f3"}


def label(node: Node) -> list[str]:
    """The lines in the box of a component."""
    return [title(node), *([options(node)] if node.options else []), *facts(node)]


def numbered(node: Node, depth: int = 0) -> Iterator[tuple[int, Node]]:
    """Every component with its depth, each before what it is made of."""
    yield depth, node
    for child in node.children:
        yield from numbered(child, depth + 1)


def flows(root: Node) -> list[tuple[Node, Node]]:
    """From which component rows go to which: tower, projector, language model, pooler."""
    kinds = {kind: [child for child in root.children if child.kind == kind] for kind in COLOURS}
    if not kinds["language_model"]:
        return []
    (text, *_), projectors = kinds["language_model"], kinds["projector"]
    found = [(tower, _after(tower, projectors) or text) for tower in kinds["tower"]]
    return [*found, *((projector, text) for projector in projectors), *((text, pooler) for pooler in kinds["pooler"])]


def _after(tower: Node, projectors: list[Node]) -> Node | None:
    """The projector of a tower: in a spec the one of its modality; in a class, which does not say so, the only one."""
    of, _, modality = tower.name.partition("towers.")
    if of or not modality:
        return projectors[0] if len(projectors) == 1 else None
    return next((node for node in projectors if node.name == f"projectors.{modality}"), None)
