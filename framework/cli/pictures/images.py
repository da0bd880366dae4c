"""A model's tree as boxes and lines, in SVG and in PNG."""

from __future__ import annotations

from io import BytesIO
from xml.sax.saxutils import escape

from PIL import Image, ImageDraw, ImageFont

from triptych.check.outline import Node
from triptych.cli.pictures.content import PLAIN
from triptych.cli.pictures.layout import LINE, PAD, Box, Drawing, Point, arrow_head, lay_out
from triptych.errors import OptionError

SIZE = 13  # pixels of a letter
LETTER = 0.6 * SIZE  # how wide one is where all are alike
INK, FLOW = "#1f2937", "#b45309"
MAX_PIXELS = 100_000_000


def svg(root: Node) -> str:
    """The drawing as an SVG document, with letters that are all as wide."""
    drawing = lay_out(root, lambda text: len(text) * LETTER)
    width, height = drawing.size
    size = f'width="{width}" height="{height}"'
    found = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width} {height}">']
    found.append(f"<title>{escape(drawing.boxes[0].lines[0])}</title>")
    found.append(f'<rect {size} fill="{PLAIN}"/>')
    found += [f'<polyline points="{_points(line)}" fill="none" stroke="{INK}"/>' for line in drawing.lines]
    for path in drawing.flows:
        found.append(f'<polyline points="{_points(path)}" fill="none" stroke="{FLOW}" stroke-width="2"/>')
        found.append(f'<polygon points="{_points(arrow_head(path[-1]))}" fill="{FLOW}"/>')
    found += [line for box in drawing.boxes for line in _svg_box(box)]
    return "\n".join([*found, "</svg>", ""])


def _svg_box(box: Box) -> list[str]:
    place = f'x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}"'
    found = [f'<rect {place} rx="4" fill="{box.fill}" stroke="{INK}"/>']
    for number, line in enumerate(box.lines, 1):
        at = f'x="{box.x + PAD:g}" y="{box.y + PAD + number * LINE - 4:g}" fill="{INK}"'
        weight = "bold" if number == 1 else "normal"
        font = f'font-family="monospace" font-size="{SIZE}" font-weight="{weight}"'
        found.append(f"<text {at} {font}>{escape(line)}</text>")
    return found


def _points(points: list[Point]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def png(root: Node) -> bytes:
    """The drawing as a PNG image. Raises OptionError for one of more pixels than anybody looks at."""
    font = ImageFont.load_default(SIZE)
    drawing = lay_out(root, font.getlength)
    width, height = drawing.size
    if width * height > MAX_PIXELS:
        raise OptionError(f"a picture of {width} x {height} pixels is too large for .png; .svg and .md are of any size")
    image = Image.new("RGB", (width, height), PLAIN)
    _paint(drawing, ImageDraw.Draw(image), font)
    found = BytesIO()
    image.save(found, "PNG")
    return found.getvalue()


def _paint(drawing: Drawing, pen: ImageDraw.ImageDraw, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> None:
    for line in drawing.lines:
        pen.line(line, fill=INK)
    for path in drawing.flows:
        pen.line(path, fill=FLOW, width=2)
        pen.polygon(arrow_head(path[-1]), fill=FLOW)
    for box in drawing.boxes:
        corners = (box.x, box.y, box.x + box.width, box.y + box.height)
        pen.rounded_rectangle(corners, 4, fill=box.fill, outline=INK)
        for number, text in enumerate(box.lines):
            pen.text((box.x + PAD, box.y + PAD + number * LINE), text, fill=INK, font=font)
