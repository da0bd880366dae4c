"""A merged tree as YAML text with the origin of each value beside it; the text reads back as an equal tree."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Any

import yaml

from triptych.errors import Place
from triptych.spec.document import RESOLVERS, Tree

COLUMN = 72
BREAKS = "\n\r\t\x85\u2028\u2029"


class _Dumper(yaml.SafeDumper):
    """Quotes every text that our reader, or another of YAML 1.1, would take for something else."""

    yaml_implicit_resolvers = {  # noqa: RUF012  (an attribute of the base class)
        first: [*yaml.SafeDumper.yaml_implicit_resolvers.get(first, []), *RESOLVERS.get(first, [])]
        for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *RESOLVERS}
    }

    def text(self, value: str) -> yaml.ScalarNode:
        """In one line, whatever it holds."""
        return self.represent_scalar("tag:yaml.org,2002:str", value, '"' if set(value) & set(BREAKS) else None)


_Dumper.add_representer(str, _Dumper.text)


def render(tree: Tree) -> str:
    """Block style, a key a line, `# file:line` after each value."""
    return "".join(f"{line}\n" for line in _lines(tree, ""))


def _lines(tree: Tree, indent: str) -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, Tree) and value:
            yield f"{indent}{scalar(key)}:"
            yield from _lines(value, f"{indent}  ")
        else:
            text = f"{indent}{scalar(key)}: {scalar(value)}"
            yield f"{text:<{COLUMN}}  # {origin(place)}" if (place := tree.values_at.get(key)) else text


def scalar(value: Any) -> str:
    """One line of YAML for a scalar, or a flow list of them."""
    options: dict[str, Any] = {"default_flow_style": True, "width": inf, "sort_keys": False, "allow_unicode": True}
    text: str = yaml.dump(_plain(value), Dumper=_Dumper, **options)
    return text.removesuffix("...\n").strip("\n")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def origin(place: Place) -> str:
    """`file.yaml:3`, the file without its folders; an override as it is."""
    name = Path(place.file).name
    return f"{name}:{place.line}" if place.line else place.file
