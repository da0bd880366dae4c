"""A model's tree as boxes and lines, drawn by matplotlib in SVG and in PNG."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Literal

from matplotlib import rc_context, style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.path import Path

from triptych.check.outline import Node
from triptych.cli.pictures.layout import LINE, PAD, SIZE, Box, Drawing, lay_out
from triptych.errors import OptionError

Kind = Literal["png", "svg"]
INK, FLOW = "#1f2937", "#b45309"
POINTS = 72  # to an inch; all sizes are in points
DPI = 144  # of a PNG
MAX_PIXELS = 100_000_000
METADATA: dict[Kind, dict[str, str | None]] = {
    "svg": {"Creator": "triptych", "Date": None},
    "png": {"Software": "triptych"},
}


def image(root: Node, kind: Kind) -> bytes:
    """The drawing as a file, equal for equal trees.

    Raises OptionError for a PNG of more pixels than anybody looks at.
    """
    drawing = lay_out(root)
    width, height = (size * DPI // POINTS for size in drawing.size)
    if kind == "png" and width * height > MAX_PIXELS:
        raise OptionError(f"a picture of {width} x {height} pixels is too large for .png; .svg and .md are of any size")
    found = BytesIO()
    with _as_anywhere():
        metadata = {"Title": drawing.boxes[0].lines[0]} | METADATA[kind]
        _figure(drawing).savefig(found, format=kind, dpi=DPI, metadata=metadata)
    return found.getvalue()


@contextmanager
def _as_anywhere() -> Iterator[None]:
    """What the user's own settings say of plots is not said of these; letters that no font has are boxes."""
    ours = rc_context({"svg.fonttype": "none", "svg.hashsalt": "triptych"})
    with style.context("default"), ours, warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")
        yield


def _figure(drawing: Drawing) -> Figure:
    width, height = drawing.size
    figure = Figure(figsize=(width / POINTS, height / POINTS))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    for line in drawing.lines:
        axes.plot(*zip(*line, strict=True), color=INK, linewidth=1)
    for flow in drawing.flows:
        axes.add_patch(FancyArrowPatch(path=Path(flow), arrowstyle="-|>", mutation_scale=SIZE, color=FLOW, linewidth=2))
    for box in drawing.boxes:
        _draw_box(box, axes)
    return figure


def _draw_box(box: Box, axes: Axes) -> None:
    axes.add_patch(Rectangle((box.x, box.y), box.width, box.height, facecolor=box.fill, edgecolor=INK, linewidth=1))
    for number, line in enumerate(box.lines):
        axes.text(
            box.x + PAD,
            box.y + PAD + (number + 0.5) * LINE,
            line,
            va="center_baseline",
            family="monospace",
            fontsize=SIZE,
            weight="normal" if number else "bold",
            color=INK,
            parse_math=False,
        )
