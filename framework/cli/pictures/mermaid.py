"""A model's tree as Markdown with a flowchart in Mermaid's language."""

from __future__ import annotations

import re
from collections.abc import Iterator

from triptych.check.outline import Node
from triptych.cli.pictures.content import COLOURS, flows, label, numbered

# Letters, digits and what means nothing to Mermaid, to HTML or to Markdown; the rest goes by its number.
SPECIAL = re.compile(r"[^\w ,.:()/=+-]")


def mermaid(root: Node) -> str:
    """A heading and one fenced flowchart: thin lines to what a component is made of, thick arrows where rows go."""
    heading = re.sub(r"([\\`*_{}\[\]<>#|&!~])", r"\\\1", label(root)[0])
    return "\n".join([f"# {heading}", "", "```mermaid", "flowchart LR", *_lines(root), "```", ""])


def _lines(root: Node) -> Iterator[str]:
    nodes = [node for _, node in numbered(root)]
    names = {id(node): f"n{number}" for number, node in enumerate(nodes)}
    for node in nodes:
        text = "<br/>".join(SPECIAL.sub(lambda found: f"#{ord(found[0])};", line) for line in label(node))
        yield f'    {names[id(node)]}["{text}"]{f":::{node.kind}" if node.kind in COLOURS else ""}'
    for node in nodes:
        yield from (f"    {names[id(node)]} --- {names[id(child)]}" for child in node.children)
    yield from (f"    {names[id(one)]} ==> {names[id(other)]}" for one, other in flows(root))
    used = {node.kind for node in nodes}
    yield from (f"    classDef {kind} fill:{colour}" for kind, colour in COLOURS.items() if kind in used)
