"""Plugins: callables of the group `triptych.plugins`, each called once in a process.

A plugin registers what entry points cannot say. What cannot be imported is logged and kept for later messages; an
exception of a plugin that is called reaches the caller, after the others were called.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import RLock

from triptych.arguments import check_arguments
from triptych.errors import PluginError, Problem, RegistrationError
from triptych.registry.allow_list import PLUGINS, allowed_entries
from triptych.registry.entries import Entry

logger = logging.getLogger(__name__)

_called: set[Entry] = set()
_failures: dict[Entry, PluginError] = {}
_one_at_a_time = RLock()  # reentrant: a plugin may ask for a model, and so for the plugins


def load_plugins(group: str = PLUGINS, *, strict: bool = False) -> None:
    """Call every plugin of `group` that TRIPTYCH_PLUGINS lets in and that was not called yet.

    A plugin that cannot be imported, or is not callable, is logged and left alone from then on; `strict` raises
    PluginError with all of them. Raises RegistrationError when two distributions offer one name, and what a plugin
    itself raises when called: that plugin is called again the next time. All others are called before anything is
    raised.
    """
    check_arguments(group=(group, str))
    with _one_at_a_time:
        raised, doubled = list[Exception | SystemExit](), list[Problem]()
        for name, offered in _by_name(allowed_entries(group)).items():
            if len(offered) > 1:
                origins = " and by ".join(map(_origin, offered))
                doubled.append(Problem(f"plugin {name!r} is offered by {origins}; uninstall one"))
            elif offered[0] not in _called and offered[0] not in _failures:
                raised += _call(offered[0])
        if doubled:
            raised.append(RegistrationError(doubled))
        if strict and (failed := plugin_failures(group)):
            raised.append(PluginError(map(Problem, failed)))
        _raise_first(raised)


def plugin_failures(group: str = PLUGINS) -> list[str]:
    """Why some plugins were left alone, as far as `load_plugins` has found out in this process."""
    return [f"plugin {_failures[entry]}" for entry in allowed_entries(group) if entry in _failures]


def _call(entry: Entry) -> list[Exception | SystemExit]:
    """Call one plugin; what it raises is the result, with a note that says who raised it."""
    try:
        plugin = _load(entry)
    except PluginError as error:
        _failures[entry] = error
        logger.warning("plugin %s; it is skipped", error)
        return []
    _called.add(entry)  # before the call, in which the plugins may be asked for
    try:
        plugin()
    except (Exception, SystemExit) as error:
        _called.remove(entry)
        error.add_note(f"raised by plugin {entry.name} of {_origin(entry)}")
        return [error]
    return []


def _load(entry: Entry) -> Callable[[], object]:
    found = entry.load()
    if not callable(found):
        raise PluginError(f"{entry.name} ({entry.target}, from {entry.distribution}) cannot be called")
    return found


def _raise_first(raised: list[Exception | SystemExit]) -> None:
    """Raise the first, the others as its notes."""
    if raised:
        for other in raised[1:]:
            raised[0].add_note(f"{type(other).__name__}: {other} {' '.join(getattr(other, '__notes__', ()))}".rstrip())
        raise raised[0]


def _by_name(offered: tuple[Entry, ...]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in offered:
        found.setdefault(entry.name, []).append(entry)
    return found


def _origin(entry: Entry) -> str:
    return f"{entry.distribution} ({entry.target})"
