"""Whose fault it is when a class of a package fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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
