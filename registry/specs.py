"""Folders of spec files, by the entry-point group `triptych.specs`; the files are found without importing anything."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from triptych.errors import PluginError, RegistrationError
from triptych.registry.entries import Entry, entries

GROUP = "triptych.specs"
_registered: list[SpecFolder] = []


@dataclass(frozen=True)
class SpecFolder:
    """A folder of YAML specs and who offers it."""

    path: Path
    origin: str


def register_spec_folder(path: Path | str) -> None:
    """Add the specs of a folder in this process, as an entry point would for every process."""
    folder = SpecFolder(Path(path).resolve(), str(path))
    if folder not in _registered:
        _registered.append(folder)
        spec_files.cache_clear()


@cache
def spec_files() -> dict[str, Path]:
    """Name of a spec -> its file.

    Raises RegistrationError when two folders offer one name, PluginError when an entry names no folder.
    """
    found: dict[str, tuple[Path, SpecFolder]] = {}
    for folder in [*(SpecFolder(_locate(entry), entry.distribution) for entry in entries(GROUP)), *_registered]:
        for file in sorted(folder.path.glob("*.yaml")):
            if file.stem in found:
                raise RegistrationError(
                    f"spec {file.stem!r} is offered by {found[file.stem][1].origin} and by {folder.origin}"
                )
            found[file.stem] = (file, folder)
    return {name: file for name, (file, _) in sorted(found.items())}


def _locate(entry: Entry) -> Path:
    """`package.folder` as a path: the top-level package is found, never imported, and then descended by path."""
    top, *below = entry.target.split(".")
    for place in _places(top):
        if (folder := place.joinpath(*below)).is_dir():
            return folder
    for depth in range(len(below) - 1, 0, -1):  # a folder that an editable install maps to another name
        for place in _places(".".join([top, *below[:depth]])):
            if (folder := place.joinpath(*below[depth:])).is_dir():
                return folder
    raise PluginError(f"{entry.name} ({entry.target}, from {entry.distribution}): there is no such folder of specs")


def _places(package: str) -> list[Path]:
    try:
        spec = find_spec(package)
    except ImportError:
        return []
    return [Path(p) for p in spec.submodule_search_locations or ()] if spec else []
