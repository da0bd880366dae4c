"""Entry points of installed distributions, read as metadata: nothing is imported to be listed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import Distribution, entry_points

from triptych.errors import PluginError


@dataclass(frozen=True)
class Entry:
    """`name = target` as one distribution offers it; `target` is `module:attribute` or a package."""

    name: str
    target: str
    distribution: str

    def load(self) -> object:
        """Import the target. Raises PluginError that names the entry and its distribution."""
        module, _, attribute = self.target.partition(":")
        try:
            found: object = import_module(module)
            for step in attribute.split(".") if attribute else ():
                found = getattr(found, step)
        except (Exception, SystemExit) as error:
            cause = f"{type(error).__name__}: {error}"
            raise PluginError(
                f"{self.name} ({self.target}, from {self.distribution}) cannot be imported: {cause}"
            ) from error
        return found


@cache
def entries(group: str) -> tuple[Entry, ...]:
    """Every entry of `group`, of all installed distributions, in a stable order."""
    return tuple(sorted(_read(group), key=lambda e: (e.name, e.distribution)))


def _read(group: str) -> Iterator[Entry]:
    seen: set[tuple[str, str, str]] = set()
    for point in entry_points(group=group):
        offered_by = _name(point.dist) if point.dist else "unknown distribution"
        entry = Entry(point.name, point.value.replace(" ", ""), offered_by)
        if (
            key := (entry.name, entry.target, entry.distribution)
        ) not in seen:  # an editable install may be listed twice
            seen.add(key)
            yield entry


@cache
def _name(distribution: Distribution) -> str:
    """Name and version; each `metadata` reads and parses a file."""
    metadata = distribution.metadata
    return f"{metadata['Name']} {metadata['Version']}"
