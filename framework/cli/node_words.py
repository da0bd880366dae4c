"""What is said of a component of a model, in words: for text and for pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from triptych.check.outline import Node, Option


def title(node: Node) -> str:
    """`24 x layer (0 to 23)`, `layer 3`, `mix: attention`, `towers.image`."""
    if len(node.which) == 1:
        return f"{node.name} {node.which[0]}"
    if node.which:
        return f"{len(node.which)} x {node.name} ({numbers(node.which)})"
    return _printable(f"{node.name}: {node.part}" if node.part else node.name)


def facts(node: Node) -> list[str]:
    """Each fact in a few words; of layers that are alike, those of one."""
    each = " each" if len(node.which) > 1 else ""
    return [*_said(node.facts, each), f"{node.parameters:,} parameters{each}"]


def options(node: Node) -> str:
    """What the spec says of the part: `heads 4, bias, no causal`."""
    return _printable(", ".join(_option(name, value) for name, value in node.options.items()))


def _printable(text: str) -> str:
    """In one line, and nothing in it that a terminal or a file would take for more than text."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _option(name: str, value: Option) -> str:
    if isinstance(value, bool):
        return name if value else f"no {name}"
    return f"{name} {value:.6g}" if isinstance(value, float) else f"{name} {value}"


def numbers(which: Sequence[int]) -> str:
    """Numbers in rising order, in short: `3`, `0 to 23`, `0, 2 ... 24`, `0 to 4, 6 to 10`."""
    steps = {after - before for before, after in pairwise(which)}
    if len(which) > 3 and len(steps) == 1 and steps != {1}:
        return f"{which[0]}, {which[1]} ... {which[-1]}"
    runs: list[list[int]] = []
    for number in which:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _said(known: Mapping[str, int | str], each: str) -> Iterator[str]:
    if "width" in known:
        yield f"width {known['width']}"
    if "width_in" in known:
        yield f"{known['width_in']} -> {known['width_out']} wide"
    if "layers" in known:
        yield _many(known["layers"], "layer")
    yield from (f"{name} {known[name]:,}" for name in ("vocabulary", "context") if name in known)
    if "item" in known:
        taken = f", {_many(known['tokens'], 'token')}" if "tokens" in known else ""
        rows = f"{_many(known['rows'], 'row')} of {known['width_out']}"
        yield f"{rows}{taken} for an item of {known['item']}"
    if "not_built" in known:
        yield f"without {known['not_built']}"
    if "cache" in known:
        windows = known.get("cache_in_windows")
        of = "" if not windows else " in windows" if windows == known["cache"] else f" ({windows:,} in windows)"
        yield f"{known['cache']:,} numbers of cache a token{each}{of}"
    if "cache_in_states" in known:
        yield f"{known['cache_in_states']:,} numbers of state a sequence{each}"


def _many(number: int | str, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
