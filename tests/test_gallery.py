"""The gallery of the site: every family once, drawn as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.beside import imported
from triptych.check.outline import Node
from triptych.cli.node_words import options
from triptych.spec.catalog import catalog

ROOT = Path(__file__).resolve().parent.parent
STYLE = (ROOT / "docs" / "style.css").read_text("utf-8")


gallery = imported("tools", "gallery")


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    found: dict[str, str] = gallery.pages()
    return found


def drawn(name: str) -> Node:
    return next(family.root for family in gallery.families() if family.listed.name == name)


def walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from walk(child)


def test_every_family_stands_on_one_page_and_in_the_index(pages: dict[str, str]) -> None:
    families = {name for name, listed in catalog().items() if listed.kind != "fragment"}
    told = {name: re.findall(r"^## (\S+)$", text, re.M) for name, text in pages.items() if name != "index"}
    assert sorted(name for names in told.values() for name in names) == sorted(families)
    linked = re.findall(r"\[(\w+)\]\((\w+)\.md#(\w+)\)", pages["index"])
    assert linked == [(name, page, name) for page, names in told.items() for name in names]


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("llama", "language"),
        ("llava", "vision"),
        ("whisper", "sound"),
        ("bert", "embedders"),
        ("clip_vision", "towers"),
    ],
)
def test_a_family_is_where_its_kind_is_looked_for(pages: dict[str, str], name: str, page: str) -> None:
    assert f"\n## {name}\n" in pages[page]


def test_what_is_said_of_a_family_is_that_of_its_spec(pages: dict[str, str]) -> None:
    _, _, rest = pages["vision"].partition("\n## llava\n")
    said = rest.partition("\n## ")[0]
    assert "- architectures: `LlavaForConditionalGeneration`" in said
    assert re.search(r"- can: .*`supports_multimodal`", said)
    text = catalog()["llava"].path.read_text("utf-8")
    assert f"```yaml\n{text.strip()}\n```" in said
    lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    assert f"- spec: `llava.yaml`, {len(lines)} lines" in said


def test_a_picture_has_a_box_for_each_component_and_its_words() -> None:
    for family in gallery.families():
        picture = ElementTree.fromstring(gallery.svg(family.root))
        texts = ["".join(text.itertext()) for text in picture.iter("text")]
        assert texts == [line for node in walk(family.root) for line in gallery.said(node)], family.listed.name
        assert len([*picture.iter("rect")]) == len([*walk(family.root)])


def test_a_box_has_all_that_a_spec_says_of_a_part_in_short_lines() -> None:
    node = next(node for node in walk(drawn("gemma3_mm")) if node.part == "attention")
    name, *lines = gallery.said(node)
    assert name == "mix: attention"
    assert " ".join(lines) == options(node)
    assert len(lines) > 1
    assert all(len(line) <= 44 for line in lines)


def test_all_that_is_drawn_has_a_colour_in_both_schemes(pages: dict[str, str]) -> None:
    drawn = {word for text in pages.values() for word in re.findall(r'<(?:rect|polyline|path) class="(\w+)"', text)}
    assert drawn >= {"plain", "tower", "projector", "language_model", "inside", "flow", "head"}
    styled = set(re.findall(r"svg\.family \w+\.(\w+)", STYLE)) | {"inside"}
    assert not drawn - styled
    light, dark = (set(re.findall(r"(--[\w-]+): #", part)) for part in STYLE.split("[data-md-color-scheme")[:2])
    assert light == dark
    assert {name for name in re.findall(r"var\((--[\w-]+)\)", STYLE) if not name.startswith("--md-")} == light


def test_words_of_a_spec_are_never_markup() -> None:
    node = Node("<b>&", "model", 1, options={"a": '"</svg>'})
    picture = ElementTree.fromstring(gallery.svg(node))
    assert ["".join(text.itertext()) for text in picture.iter("text")] == gallery.said(node)


def test_it_is_written_into_a_folder(pages: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gallery.main([str(tmp_path / "new")]) == 0
    assert {path.stem: path.read_text("utf-8") for path in (tmp_path / "new").iterdir()} == pages
    assert gallery.main([]) == 2
    assert capsys.readouterr().err == "python -m tools.gallery FOLDER\n"
