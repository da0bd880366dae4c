"""`triptych show NAME --tree`: the model that a spec, or a class, makes of a config, component by component."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.text import Text
from rich.tree import Tree as Branches

from triptych.assembly import assemble
from triptych.check.class_outline import outline_class
from triptych.check.outline import Node, outline
from triptych.cli.class_named import find_class
from triptych.cli.node_words import facts, options, title
from triptych.cli.output import print_json
from triptych.cli.pictures import Picture, picture_of
from triptych.cli.show import is_spec
from triptych.errors import OptionError
from triptych.spec.catalog import catalog, find_conversion, load_named, sample_config
from triptych.spec.config_file import read_config
from triptych.spec.overrides import overridden
from triptych.whole_file import write_whole

ANY_LENGTH = 100_000  # columns where stdout is no terminal: nothing is wrapped


def show_tree(
    name: str,
    overrides: Sequence[str],
    *,
    config: str | None,
    picture: str | None,
    form: Literal["text", "json"] | None,
) -> int:
    """Print the tree as text or JSON, and draw it in the file `picture`, as far as these are asked for.

    `config` is a config.json or its folder; without one the spec's sample. Raises OptionError for a second spec, for a
    picture of an unknown kind, before anything is read, and for a class without a config; SpecError for a config that
    the spec does not serve.
    """
    if beside := [*filter(is_spec, overrides)]:
        raise OptionError(f"one spec is drawn at a time, not {name} and {' and '.join(beside)} too")
    draw = picture_of(Path(picture)) if picture is not None else None
    tree = _outlined(name, overrides, config)
    if draw is not None and picture is not None:
        _write(Path(picture), tree, draw)
    if form == "json":
        print_json(_as_json(tree))
    elif form == "text":
        _print(tree)
    return 0


def _outlined(name: str, overrides: Sequence[str], config: str | None) -> Node:
    if (model := find_class(name, overrides)) is not None:
        if config is None:
            raise OptionError(
                f"{name} is a model class, and has no sample config to be built of; --config FILE names one"
            )
        return outline_class(model, read_config(Path(config)), name=name)
    stem, tree = load_named(name)
    given = (
        read_config(Path(config)) if config is not None else sample_config(overridden(tree, overrides), needed_by=stem)
    )
    convert = find_conversion(given, stem) if config is not None and stem in catalog() else None
    return outline(assemble(tree, given, overrides=overrides, convert=convert, name=stem))


def _write(path: Path, tree: Node, draw: Picture) -> None:
    content = draw(tree)
    try:
        write_whole(path, content)
    except OSError as error:
        raise OptionError(f"{path}: the picture cannot be written here: {error.strerror or error}") from None
    print(f"{path} is written", file=sys.stderr)


def _print(tree: Node) -> None:
    """Guides are drawn as the encoding of stdout allows; colours where it is a terminal."""
    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    if not sys.stdout.isatty():
        console.width = ANY_LENGTH
    console.print(_branches(tree, None))


def _branches(node: Node, above: Branches | None) -> Branches:
    here = Branches(_line(node)) if above is None else above.add(_line(node))
    for child in node.children:
        _branches(child, here)
    return here


def _line(node: Node) -> Text:
    said = Text(title(node), style="bold")
    if node.options:
        said.append(f" ({options(node)})", style="not bold dim")
    return said.append(f"  {', '.join(facts(node))}", style="not bold")


def _as_json(node: Node) -> dict[str, object]:
    return dict(_fields(node))


def _fields(node: Node) -> Iterator[tuple[str, object]]:
    yield from (("name", node.name), ("kind", node.kind), ("parameters", node.parameters), ("facts", dict(node.facts)))
    if node.part:
        yield "part", node.part
    if node.which:
        yield "which", list(node.which)
    if node.options:
        yield "options", dict(node.options)
    if node.children:
        yield "parts", [_as_json(child) for child in node.children]
