"""Whose fault it is when a class of a package fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from triptych.errors import ArgumentError, PluginError, TriptychError


@contextmanager
def blame(owner: object, doing: str) -> Iterator[None]:
    """Raise PluginError that names the class of `owner`, and what it was doing, for whatever is raised in the context.

    Errors of triptych pass as they are, but for an argument of another type: the class has given it.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, TriptychError) and not isinstance(error, ArgumentError):
            raise
        cause = f"{type(error).__name__}: {error}"
        raise PluginError(f"{type(owner).__qualname__} fails {doing}: {cause}") from error
