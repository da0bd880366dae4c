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
    by_name = {child.name: child for child in root.children}
    text, pooler = by_name.get("language_model"), by_name.get("pooler")
    if text is None:
        return []
    towers = [child for child in root.children if child.kind == "tower"]
    to = [(tower, by_name.get(tower.name.replace("towers", "projectors", 1), text)) for tower in towers]
    found = to + [(child, text) for child in root.children if child.kind == "projector"]
    return [*found, (text, pooler)] if pooler else found
