"""Which installed distributions may add something: the environment variable TRIPTYCH_PLUGINS.

Unset, all may; empty, none; else those that this comma-separated list names. What triptych ships is always there.
"""

from __future__ import annotations

import os
import re
from functools import cache

from triptych.registry.entries import Entry, entries

VARIABLE = "TRIPTYCH_PLUGINS"
PLUGINS = "triptych.plugins"
ENDPOINTS = "triptych.endpoints"  # plugins that open network endpoints


def allowed_entries(group: str) -> tuple[Entry, ...]:
    """The entries of `group` that TRIPTYCH_PLUGINS lets in.

    It names distributions; a plugin is also let in by its own name. What opens network endpoints has to be named, even
    where the variable is unset and even if triptych ships it.
    """
    return _allowed(group, os.environ.get(VARIABLE))


def left_out(group: str) -> tuple[Entry, ...]:
    """The entries of `group` that TRIPTYCH_PLUGINS keeps out."""
    return tuple(entry for entry in entries(group) if entry not in allowed_entries(group))


@cache  # every look-up of a part asks
def _allowed(group: str, listed: str | None) -> tuple[Entry, ...]:
    return tuple(entry for entry in entries(group) if _is_allowed(entry, group, listed))


def _is_allowed(entry: Entry, group: str, listed: str | None) -> bool:
    distribution = _normal(entry.distribution.partition(" ")[0])
    called = {distribution, _normal(entry.name)} if group in (PLUGINS, ENDPOINTS) else {distribution}
    if group != ENDPOINTS and distribution == "triptych":
        return True
    if listed is None:
        return group != ENDPOINTS
    return not called.isdisjoint(map(_normal, listed.split(",")))


def _normal(name: str) -> str:
    """A name as package indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
