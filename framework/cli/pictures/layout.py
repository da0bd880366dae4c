"""Where the boxes and lines of a picture stand: boxes below each other, what is inside one to the right below it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rich.cells import cell_len

from triptych.check.outline import Node
from triptych.cli.pictures.content import COLOURS, PLAIN, flows, label, numbered

SIZE, LINE, PAD, GAP, INDENT, LANE = 13, 17, 7, 10, 34, 16  # letters, lines of text, in and between boxes, flows
LETTER = 0.62 * SIZE  # how wide one is where all are alike; some, of East Asia, are two wide

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A component at its place, `x` and `y` its upper left corner."""

    x: float
    y: float
    width: float
    height: float
    lines: list[str]
    fill: str


@dataclass(frozen=True)
class Drawing:
    """All boxes; lines to what is inside them; flows, which end in an arrow's head."""

    boxes: list[Box]
    lines: list[list[Point]]
    flows: list[list[Point]]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of all of it, with a margin."""
        right = max(x for points in self.flows for x, _ in points) if self.flows else 0
        right = max(right, *(box.x + box.width for box in self.boxes))
        return int(right) + GAP + PAD, int(self.boxes[-1].y + self.boxes[-1].height) + GAP


def lay_out(root: Node, said: Callable[[Node], list[str]] = label) -> Drawing:
    """Every component at its place; `said` are the lines in its box."""
    nodes, boxes, y = list(numbered(root)), dict[int, Box](), float(GAP)
    for depth, node in nodes:
        lines = said(node)
        width, height = max(map(cell_len, lines)) * LETTER + 2 * PAD, len(lines) * LINE + 2 * PAD
        boxes[id(node)] = Box(GAP + depth * INDENT, y, width, height, lines, COLOURS.get(node.kind, PLAIN))
        y += height + GAP
    inside = [_elbow(boxes[id(node)], boxes[id(child)]) for _, node in nodes for child in node.children]
    right = max(box.x + box.width for box in boxes.values())
    found = [
        _around(boxes[id(one)], boxes[id(other)], right + LANE * number)
        for number, (one, other) in enumerate(flows(root), 1)
    ]
    return Drawing(list(boxes.values()), inside, found)


def _elbow(above: Box, below: Box) -> list[Point]:
    x, y = above.x + INDENT / 2, below.y + below.height / 2
    return [(x, above.y + above.height), (x, y), (below.x, y)]


def _around(one: Box, other: Box, lane: float) -> list[Point]:
    """Out at the right of one box, down a lane that is free, and in at the right of another."""
    out, into = one.y + one.height * 2 / 3, other.y + other.height / 3
    return [(one.x + one.width, out), (lane, out), (lane, into), (other.x + other.width, into)]
