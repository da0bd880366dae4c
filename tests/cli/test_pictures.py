"""`--picture FILE`: what is drawn, in each kind of file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib import style
from PIL import Image

from tests.full_disk import room_for
from triptych.assembly import assemble
from triptych.check.outline import Node, outline
from triptych.cli import main
from triptych.cli.pictures import images
from triptych.cli.pictures.content import flows, label
from triptych.cli.pictures.images import Kind, image
from triptych.cli.pictures.layout import Box, lay_out
from triptych.cli.pictures.mermaid import mermaid
from triptych.spec.catalog import load_named, sample_config

NAMES = ["llama", "gemma2", "llava", "bert", "vit"]
BOX = re.compile(r'    (n\d+)\["([^"\[\]{}|<>`%\\]|<br/>)+"\](:::\w+)?')
LINE = re.compile(r"    (n\d+) (---|==>) (n\d+)")
COLOUR = re.compile(r"    classDef (\w+) fill:#[0-9a-f]{6}")
SVG = "{http://www.w3.org/2000/svg}"

Capture = pytest.CaptureFixture[str]


def drawn(name: str) -> Node:
    tree = load_named(name)[1]
    return outline(assemble(tree, sample_config(tree), name=name))


def walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from walk(child)


def chart(root: Node) -> tuple[list[str], list[tuple[str, str, str]]]:
    """The boxes and the lines of a Mermaid flowchart; every line of it is one of those that it may have."""
    heading, empty, opened, kind, *rows, closed, end = mermaid(root).split("\n")
    assert heading.startswith("# ")
    assert (empty, opened, kind, closed, end) == ("", "```mermaid", "flowchart LR", "```", "")
    boxes = [found for row in rows if (found := BOX.fullmatch(row))]
    lines = [found for row in rows if (found := LINE.fullmatch(row))]
    colours = [found for row in rows if (found := COLOUR.fullmatch(row))]
    assert len(boxes) + len(lines) + len(colours) == len(rows), rows
    assert {box[3] for box in boxes if box[3]} == {f":::{colour[1]}" for colour in colours}
    return [box[0].strip() for box in boxes], [(line[1], line[2], line[3]) for line in lines]


@pytest.mark.parametrize("name", NAMES)
def test_mermaid_has_a_box_for_each_component_and_lines_to_what_is_inside(name: str) -> None:
    root = drawn(name)
    boxes, lines = chart(root)
    assert [box.partition("[")[0] for box in boxes] == [f"n{number}" for number in range(len([*walk(root)]))]
    inside = [(one, other) for one, kind, other in lines if kind == "---"]
    assert len({other for _, other in inside}) == len(inside) == len(boxes) - 1, "a tree"
    assert f"{root.parameters:,} parameters" in boxes[0]


def test_thick_arrows_follow_the_rows() -> None:
    def names(spec: str) -> list[tuple[str, str]]:
        return [(one.name, other.name) for one, other in flows(drawn(spec))]

    assert names("llava") == [("towers.image", "projectors.image"), ("projectors.image", "language_model")]
    assert names("bert") == [("language_model", "pooler")]
    assert names("vit") == []
    boxes, lines = chart(drawn("llava"))
    shown = [
        tuple(boxes[int(end[1:])].partition('"')[2].partition("<")[0] for end in (a, b))
        for a, k, b in lines
        if k == "==>"
    ]
    assert shown == names("llava")


def test_a_tower_without_a_projector_gives_its_rows_to_the_language_model() -> None:
    root = drawn("llava")
    without = replace(root, children=tuple(child for child in root.children if child.kind != "projector"))
    assert [(one.name, other.name) for one, other in flows(without)] == [("towers.image", "language_model")]


def texts(document: bytes) -> list[str | None]:
    return [text.text for text in ElementTree.fromstring(document).iter(f"{SVG}text")]


@example(name="$x_1$ and \\$ and $\\frac{1}{2")
@example(name="<b>&amp;]]>--")
@example(name="\N{CJK UNIFIED IDEOGRAPH-6A21}\N{SNOWMAN}\N{HEBREW LETTER ALEF}\x1b[31m\ud800")
@given(name=st.text(min_size=1))
@settings(deadline=None, max_examples=40)
def test_no_name_breaks_a_picture(name: str) -> None:
    root = Node(name, "model", 1, options={"way": name}, children=(Node("tower", "tower", 1, part=name),))
    boxes, lines = chart(root)
    assert (len(boxes), len(lines)) == (2, 1)
    assert texts(image(root, "svg")) == [*label(root), *label(root.children[0])]
    with Image.open(BytesIO(image(root, "png"))) as png:
        png.load()


@pytest.mark.parametrize("name", NAMES)
def test_boxes_lie_apart_and_inside_the_picture(name: str) -> None:
    drawing = lay_out(drawn(name))
    width, height = drawing.size
    assert all(below.y >= box.y + box.height for box, below in zip(drawing.boxes, drawing.boxes[1:], strict=False))
    assert all(box.x + box.width <= width and box.y + box.height <= height for box in drawing.boxes)
    points = [point for path in (*drawing.lines, *drawing.flows) for point in path]
    assert all(0 <= x <= width and 0 <= y <= height for x, y in points)
    for path in drawing.flows:  # out of one box and into another, round all of them
        assert path[1][0] == path[2][0] > max(box.x + box.width for box in drawing.boxes)
        assert any(_at_right(path[0], box) for box in drawing.boxes)
        assert any(_at_right(path[-1], box) for box in drawing.boxes)


def _at_right(point: tuple[float, float], box: Box) -> bool:
    return point[0] == box.x + box.width and box.y < point[1] < box.y + box.height


def test_each_ending_gives_a_file_of_its_kind(capsys: Capture, tmp_path: Path) -> None:
    for ending in ("md", "svg", "png", "PNG"):
        file = tmp_path / f"llava.{ending}"
        assert main(["show", "llava", "--picture", str(file)]) == 0
        assert capsys.readouterr() == ("", f"{file} is written\n")
    assert (tmp_path / "llava.md").read_text() == mermaid(drawn("llava"))
    lines = [line for node in walk(drawn("llava")) for line in label(node)]
    assert texts((tmp_path / "llava.svg").read_bytes()) == lines
    with Image.open(tmp_path / "llava.png") as png:
        assert png.format == "PNG"
        found = png.convert("RGB")
        shown = {found.getpixel((x, y)) for x in range(png.width) for y in range(0, png.height, 3)}
    assert {(0xDB, 0xEA, 0xFE), (0xFE, 0xF3, 0xC7), (0xDC, 0xFC, 0xE7), (0xB4, 0x53, 0x09)} <= shown


def test_a_picture_is_drawn_beside_the_tree_where_both_are_asked_for(capsys: Capture, tmp_path: Path) -> None:
    assert main(["show", "vit", "--tree", "--picture", str(tmp_path / "vit.md")]) == 0
    assert capsys.readouterr().out.startswith("vit  36,416 parameters\n")
    assert main(["show", "vit", "--json", "--picture", str(tmp_path / "vit.md")]) == 0
    assert capsys.readouterr().out.startswith('{\n  "name": "vit",')


def test_an_image_of_too_many_pixels_is_refused_and_no_file_is_left(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 1000)
    assert main(["show", "vit", "--picture", str(tmp_path / "vit.png")]) == 1
    assert "pixels is too large for .png; .svg and .md are of any size" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]


def test_texts_stand_inside_their_boxes() -> None:
    name = "WWW\N{CJK UNIFIED IDEOGRAPH-6A21}" * 20
    root = Node(name, "tower", 1, options={"way": name})
    with Image.open(BytesIO(image(root, "png"))) as png:
        found, (width, height) = png.convert("RGB"), png.size
    blue = [x for x in range(width) for y in range(0, height, 5) if found.getpixel((x, y)) == (0xDB, 0xEA, 0xFE)]
    dark = [x for x in range(width) for y in range(height) if sum(found.getpixel((x, y))) < 400]  # type: ignore[arg-type]
    assert max(dark) - max(blue) <= 4, "the right edge of the box is the last that is dark"
    inside = [x for x in range(max(blue) - 8, max(blue)) for y in range(30, height - 30)]
    assert all(found.getpixel((x, 60)) == (0xDB, 0xEA, 0xFE) for x in inside), "room between the text and the edge"


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_a_picture_is_the_same_whenever_and_with_whatever_settings_of_plots(kind: Kind) -> None:
    root = drawn("llava")
    first = image(root, kind)
    with style.context({"svg.fonttype": "path", "savefig.bbox": "tight", "lines.linewidth": 9, "font.size": 30}):
        assert image(root, kind) == first
    assert b"date" not in first


SEEN = """
import sys
from triptych.cli import main
main(["show", "vit", "--tree"])
assert not {"matplotlib", "PIL"} & sys.modules.keys()
main(["show", "vit", "--picture", "vit.md"])
assert not {"matplotlib", "PIL"} & sys.modules.keys()
main(["show", "vit", "--picture", "vit.svg"])
assert "matplotlib" in sys.modules
assert "matplotlib.pyplot" not in sys.modules
"""


def test_matplotlib_is_loaded_for_an_image_alone_and_keeps_no_figures(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("svg.fonttype: path\nsavefig.bbox: tight\n")  # read where it stands
    done = subprocess.run(
        [sys.executable, "-c", SEEN], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "vit.svg").read_bytes() == image(drawn("vit"), "svg")


def test_settings_that_matplotlib_cannot_be_loaded_with_are_told(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "triptych.cli", "show", "vit", "--picture", "vit.svg"]
    env = {**os.environ, "MPLBACKEND": "nonsense"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path, env=env, timeout=120)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("matplotlib, which draws .svg, cannot be loaded: ValueError: ")
    assert done.stderr.endswith("; .md goes without\n")
    assert "Traceback" not in done.stderr


def test_a_disk_that_is_full_leaves_the_old_picture_whole(capsys: Capture, tmp_path: Path) -> None:
    file = tmp_path / "vit.svg"
    file.write_text("old")
    with room_for(1000):
        assert main(["show", "vit", "--picture", str(file)]) == 1
    assert capsys.readouterr().err == f"{file}: the picture cannot be written here: File too large\n"
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("vit.svg", "old")]
