"""Whose fault it is when a class of a package fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from triptych.errors import PluginError, TriptychError


@contextmanager
def blame(owner: object, doing: str) -> Iterator[None]:
    """Raise PluginError that names the class of `owner`, and what it was doing, for whatever is raised in the context.

    Errors of triptych pass as they are.
    """
    try:
        yield
    except TriptychError:
        raise
    except Exception as error:
        cause = f"{type(error).__name__}: {error}"
        raise PluginError(f"{type(owner).__qualname__} fails {doing}: {cause}") from error
