"""`triptych show A B`: two specs side by side, only what differs. No torch is imported."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from triptych.cli.output import print_json
from triptych.cli.show import is_spec
from triptych.errors import OptionError, TriptychError
from triptych.spec.catalog import load_named
from triptych.spec.compare import Difference, Said, differences
from triptych.spec.document import Tree
from triptych.spec.overrides import overridden
from triptych.spec.render import origin, scalar

GAP = "  "
ABSENT = "-"
LEAST = 16  # columns that a cell has on however narrow a terminal


def show_differences(words: Sequence[str], *, as_json: bool) -> int:
    """Print what differs between the two specs that `words` name; overrides are those of the spec that they follow.

    Raises OptionError for a third spec, SpecError for what is no spec and no override.
    """
    (one, left), (other, right) = _sides(words)
    found = differences(left, right)
    if as_json:
        print_json({"left": one, "right": other, "equal": not found, "differences": [_as_json(d) for d in found]})
    elif found:
        rows = [("", one, other), *((scalar(d.path), _cell(d.left), _cell(d.right)) for d in found)]
        for line in _table(rows, columns=_columns()):
            print(line)
    else:
        print(f"{one} and {other} say the same")
    return 0


def _sides(words: Sequence[str]) -> list[tuple[str, Tree]]:
    """What each spec is called, and its tree with the overrides that follow it."""
    first, *rest = words
    groups = [[first]]
    for word in rest:
        groups.append([word]) if is_spec(word) else groups[-1].append(word)
    if len(groups) > 2:
        raise OptionError(f"two specs are compared, not {len(groups)}: {', '.join(name for name, *_ in groups)}")
    return [(" ".join(group), _loaded(*group, alone=not number)) for number, group in enumerate(groups)]


def _loaded(name: str, *overrides: str, alone: bool) -> Tree:
    try:
        tree = load_named(name)[1]
    except TriptychError as error:
        if alone or name.endswith((".yaml", ".yml")):
            raise
        raise OptionError(
            f"override {name!r}: not of the form path.to.key=value, nor a spec to compare with: {error}"
        ) from None
    return overridden(tree, overrides)


def _as_json(difference: Difference) -> dict[str, object]:
    sides = {side: getattr(difference, side) for side in ("left", "right")}
    return {"path": difference.path} | {side: _side(said) for side, said in sides.items()}


def _side(said: Said | None) -> dict[str, object] | None:
    return {"value": said.value, "origin": str(said.place) if said.place else None} if said else None


def _cell(said: Said | None) -> str:
    if said is None:
        return ABSENT
    return f"{scalar(said.value)}  # {origin(said.place)}" if said.place else scalar(said.value)


def _columns() -> int | None:
    """The width of the terminal; None where stdout is none, and lines may be of any length."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns if sys.stdout.isatty() else None
    except OSError:
        return None


def _table(rows: Sequence[tuple[str, str, str]], *, columns: int | None) -> Iterator[str]:
    """Cells below each other, in as many lines as they need."""
    widest = [max(len(row[n]) for row in rows) for n in range(3)]
    if columns is not None:
        widest[0] = min(widest[0], max(LEAST, columns // 3))
        each = max(LEAST, (columns - widest[0] - 2 * len(GAP)) // 2)
        widest[1:] = [min(width, each) for width in widest[1:]]
    for row in rows:
        cells = [_wrapped(text, width) for text, width in zip(row, widest, strict=True)]
        for line in zip_longest(*cells, fillvalue=""):
            yield GAP.join(f"{text:<{width}}" for text, width in zip(line, widest, strict=True)).rstrip()


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, 1), break_on_hyphens=False) if len(text) > width else [text]
