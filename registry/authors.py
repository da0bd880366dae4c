"""Whose mistake it is when code of others fails inside a model: its traceback leads to the one who has to see it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from traceback import walk_tb
from typing import NamedTuple

from triptych.errors import Place, PluginError, TriptychError
from triptych.registry.sources import find_distribution

OWN_FRAMES = 2  # outermost: that of `blaming`, and that of who asks it
OURS = {"triptych", "torch", *sys.stdlib_module_names}


class Fault(NamedTuple):
    """Whose code failed: its module, the function in it, and where that stands, unless it was not even entered."""

    module: str
    function: str
    place: Place | None


@contextmanager
def blaming(owner: object, doing: str) -> Iterator[None]:
    """Raise PluginError for what code of others raises in the context, with its place, its package and the cause.

    `owner` is a class, or a torch module: its own classes, and those of the modules in it, may be of others. Errors of
    triptych pass, and so does what our own code raises, or a machine that has no memory left.
    """
    try:
        yield
    except TriptychError:
        raise
    except Exception as error:
        fault = _fault(error, _classes(owner))
        if fault is None or is_out_of_memory(error):
            raise
        name = owner.__qualname__ if isinstance(owner, type) else type(owner).__qualname__
        offered_by = find_distribution(fault.module)
        code = f"{fault.module}:{fault.function}{f', from {offered_by}' if offered_by else ''}"
        cause = f"{type(error).__name__}: {error}"
        raise PluginError(f"{name} ({code}) fails {doing}: {cause}", place=fault.place) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that a machine has no memory left, which torch's allocator of a host does without a class."""
    by_name = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return by_name or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))


def _classes(owner: object) -> set[type]:
    """The classes in it, and their bases, that are not ours, nor torch's or Python's own."""
    modules = getattr(owner, "modules", None)
    within: Iterable[object] = modules() if callable(modules) and not isinstance(owner, type) else (owner,)
    found = {one if isinstance(one, type) else type(one) for one in within}
    return {base for each in found for base in each.__mro__ if _top(base.__module__) not in OURS}


def _fault(error: Exception, classes: set[type]) -> Fault | None:
    """The innermost frame in a package of these classes, else the method of theirs that does not take its arguments."""
    packages = {_top(each.__module__) for each in classes}
    for frame, line in reversed([*walk_tb(error.__traceback__)][OWN_FRAMES:]):
        module = str(frame.f_globals.get("__name__", ""))
        if _top(module) in packages:
            code = frame.f_code
            return Fault(module, code.co_qualname, Place(code.co_filename, line, 1))
    refused = str(error).partition("(")[0] if isinstance(error, TypeError) else ""
    return next((Fault(c.__module__, refused, None) for c in classes if refused.startswith(f"{c.__qualname__}.")), None)


def _top(module: str) -> str:
    return module.partition(".")[0]
