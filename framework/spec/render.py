"""A merged tree as YAML text with the origin of each value beside it; the text reads back as an equal tree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from triptych.errors import Place
from triptych.spec.document import Tree

COLUMN = 72


def render(tree: Tree) -> str:
    """Block style, a key a line, `# file:line` after each value."""
    return "".join(f"{line}\n" for line in _lines(tree, ""))


def _lines(tree: Tree, indent: str) -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, Tree) and value:
            yield f"{indent}{_scalar(key)}:"
            yield from _lines(value, f"{indent}  ")
        else:
            text = f"{indent}{_scalar(key)}: {_scalar(value)}"
            yield f"{text:<{COLUMN}}  # {_origin(place)}" if (place := tree.values_at.get(key)) else text


def _scalar(value: Any) -> str:
    """One line of YAML for a scalar, or a flow list of them."""
    plain = _plain(value)
    text: str = yaml.safe_dump(plain, default_flow_style=True, width=10_000, sort_keys=False, allow_unicode=True)
    return text.removesuffix("...\n").strip()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _origin(place: Place) -> str:
    name = Path(place.file).name
    return f"{name}:{place.line}" if place.line else place.file
