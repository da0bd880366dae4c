"""Where a module's source stands and which distribution brings it; nothing is imported to find out."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from importlib.util import find_spec
from pathlib import Path


def find_source(module: str) -> Path | None:
    """The source file of a module: the top-level package is found, never imported, and then descended by path.

    None for what has no source file: a built-in, a compiled module, a module that is not there.
    """
    if (loaded := getattr(sys.modules.get(module), "__file__", None)) is not None:
        return Path(loaded) if loaded.endswith(".py") else None
    top, *below = module.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not below:
        return Path(spec.origin) if spec.has_location and spec.origin and spec.origin.endswith(".py") else None
    return _descend([Path(place) for place in spec.submodule_search_locations or ()], below)


def _descend(places: list[Path], below: list[str]) -> Path | None:
    stems = [place.joinpath(*below) for place in places]
    files = (file for stem in stems for file in (stem / "__init__.py", stem.with_name(f"{stem.name}.py")))
    return next((file for file in files if file.is_file()), None)


def find_digest(module: str) -> str | None:
    """SHA-256 of a module's source; None when it has none that can be read."""
    file = find_source(module)
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest() if file else None
    except OSError:
        return None


@cache
def find_distribution(module: str) -> str:
    """`name version` of the distribution that brings a module's top-level package; '' when none says so."""
    for name in _candidates(module.partition(".")[0]):
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        return f"{found.name} {found.version}"
    return ""


def origin_of(name: str, distribution: str = "") -> str:
    """Where `module:Class` comes from, for messages: `distribution version (module:Class, file)`."""
    module = name.partition(":")[0]
    file = find_source(module)
    where = f"{name}, {file}" if file else name
    return f"{distribution or find_distribution(module) or 'no distribution'} ({where})"


def _candidates(top: str) -> Iterator[str]:
    yield top  # most distributions have their package's name
    yield from _brought().get(top, ())


_brought = cache(packages_distributions)  # slow: every list of installed files is read
