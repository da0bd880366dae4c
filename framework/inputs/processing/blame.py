"""Whose fault it is when a class of a package fails, and which item it fails on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from triptych.errors import ArgumentError, PluginError, TriptychError
from triptych.registry.sources import find_distribution


@contextmanager
def blame(owner: object, doing: str) -> Iterator[None]:
    """Raise PluginError that names the class of `owner`, its package, and what it did, for whatever is raised in it.

    Errors of triptych pass as they are, but for an argument of another type: the class has given it.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, TriptychError) and not isinstance(error, ArgumentError):
            raise
        offered_by = find_distribution(type(owner).__module__)
        name = f"{type(owner).__qualname__}{f' (from {offered_by})' if offered_by else ''}"
        raise PluginError(f"{name} fails {doing}: {type(error).__name__}: {error}") from error


@contextmanager
def numbered(places: Mapping[str, Sequence[int]]) -> Iterator[None]:
    """Give items in errors of triptych the numbers that they have in the prompt, of which they are those at `places`.

    The path of a problem begins with its item: `image[0]`, of the items that are processed the first.
    """
    try:
        yield
    except TriptychError as error:
        error.problems = tuple(replace(each, path=_renumbered(each.path, places)) for each in error.problems)
        error.args = ("\n".join(map(str, error.problems)),)
        raise


def _renumbered(path: str, places: Mapping[str, Sequence[int]]) -> str:
    found = re.match(r"(\w+)\[(\d+)\]", path)
    if found is None or int(found[2]) >= len(own := places.get(found[1], ())):
        return path
    return f"{found[1]}[{own[int(found[2])]}]{path[found.end() :]}"
