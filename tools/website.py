"""What mkdocs.yml has generated as it builds: how the home page begins, the gallery, the pages of the API.

A hook of MkDocs: its functions are called by their names. `python -m mkdocs build --strict` builds the site.
"""

from __future__ import annotations

import ast
import logging
import re
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from tools import gallery
from triptych.public import NAMES
from triptych.registry import KINDS, get_part, part_names
from triptych.registry.part_targets import spec_of

ROOT = Path(__file__).resolve().parent.parent
FETCHED = re.compile(r"""<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=["']?((?:https?:)?//[^"'\s>]+)""")
log = logging.getLogger("mkdocs.hooks.website")  # below MkDocs' own, which counts warnings
PICTURE = ROOT / "framework" / "handwriting" / "number.png"  # which README.md shows
BEGINNING = "<!-- how README.md begins -->"
PAGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "models": ("Models and answers", ("tasks", "runner", "settings")),
    "specs": ("Specs and families", ("spec", "registry", "schemas", "assembly", "check")),
    "inputs": ("Inputs", ("inputs",)),
    "weights": ("Weights", ("weights",)),
    "capabilities": ("What a model can say that it does", ("capabilities",)),
    "errors": ("Errors", ("errors",)),
}
"""The pages of the API, each with its title and the layers whose public names it tells."""


@event_priority(100)  # before mkdocstrings reads where the sources are
def on_config(config: MkDocsConfig) -> None:
    """Let docstrings be read from one tree, in which folders are called as they are imported."""
    config.plugins["mkdocstrings"].config["handlers"]["python"]["paths"] = [_sources().name]


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages that stand in no file."""
    for folder, found in {"api": api(), "gallery": gallery.pages()}.items():
        for name, text in found.items():
            files.append(File.generated(config, f"{folder}/{name}.md", content=text))
    files.append(File.generated(config, PICTURE.name, abs_src_path=str(PICTURE)))


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """The home page begins as README.md does."""
    return markdown.replace(BEGINNING, beginning()) if page.is_homepage else markdown


def on_post_page(output: str, page: Page, **_: object) -> None:
    """Whoever reads a page fetches nothing from elsewhere: what would is told, and ends a strict build."""
    for place in FETCHED.findall(output):
        log.warning("Doc file '%s' has its reader fetch %s", page.file.src_uri, place)


def beginning() -> str:
    """README.md between its title and its first heading, with links that lead to pages."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.sub(r"\]\((docs|framework/handwriting)/", "](", text.partition("\n")[2].partition("\n## ")[0])


def api() -> dict[str, str]:
    """The pages of the API by name: every public name, every part, every op."""
    return {
        **{name: _page(title, _public(layers)) for name, (title, layers) in PAGES.items()},
        "parts": "\n".join(["# Parts\n", *_parts()]),
        "kernels": _page("Ops", ops()),
    }


def ops() -> Iterator[tuple[str, str]]:
    """The functions of each op's folder in kernels/, by the names that parts call."""
    for path in sorted((ROOT / "kernels").glob("*/__init__.py")):
        names = (node.name for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.FunctionDef))
        yield from ((name, f"triptych.kernels.{path.parent.name}.{name}") for name in names if name[0] != "_")


def _page(title: str, names: Iterator[tuple[str, str]]) -> str:
    """A heading for each name, below which its docstring is rendered."""
    told = (f"::: {place}\n    options: {{heading: {name}, toc_label: {name}}}\n" for name, place in names)
    return "\n".join([f"# {title}\n", *told])


def _public(layers: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for module, names in NAMES.items():
        if module.split(".")[1] in layers:
            yield from ((f"triptych.{name}", f"{module}.{name}") for name in sorted(names, key=str.lower))


def _parts() -> Iterator[str]:
    """Each kind, and of each part its docstring and what YAML may say of it."""
    for kind in KINDS:
        yield f"## {kind}\n"
        for name in part_names(kind):
            found: Any = spec_of(get_part(kind, name).target)  # of an activation it is a function
            yield f"::: {found.__module__}.{found.__qualname__}"
            yield f"    options: {{heading: {kind}.{name}, toc_label: {name}, members: false}}\n"
            if fields := [*_fields(found)]:
                yield "\n".join(["| field | type | default |", "|---|---|---|", *fields, ""])


def _fields(spec: Any) -> Iterator[str]:
    """A row for each field of a Spec, its type as the source has it."""
    own = [vars(each).get("__annotations__", {}) for each in reversed(getattr(spec, "__mro__", ()))]
    words = {name: word for annotations in own for name, word in annotations.items()}
    for name, field in getattr(spec, "model_fields", {}).items():
        default = "needed" if field.is_required() else f"`{field.get_default(call_default_factory=True)!r}`"
        cells = (f"`{name}`", f"`{words[name]}`", default)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


@cache
def _sources() -> tempfile.TemporaryDirectory[str]:
    """`triptych/` with a link to each module, laid out as pyproject.toml says; it goes with the process."""
    folder = tempfile.TemporaryDirectory()
    with (ROOT / "pyproject.toml").open("rb") as file:
        packages: dict[str, str] = tomllib.load(file)["tool"]["setuptools"]["package-dir"]
    for package, source in sorted(packages.items()):
        target = Path(folder.name, *package.split("."))
        target.mkdir()
        for path in (ROOT / source).iterdir():
            if path.name != "__pycache__":
                (target / path.name).symlink_to(path)
    return folder
