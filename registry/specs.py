"""Folders of spec files, by the entry-point group `triptych.specs`; the files are found without importing anything."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from triptych.errors import PluginError, RegistrationError, UnknownNameError, suggest
from triptych.registry.allow_list import allowed_entries
from triptych.registry.entries import Entry

GROUP = "triptych.specs"
_registered: list[SpecFolder] = []


@dataclass(frozen=True)
class SpecFolder:
    """A folder of YAML specs and who offers it."""

    path: Path
    origin: str


def register_spec_folder(path: Path | str) -> None:
    """Add the specs of a folder in this process, as an entry point would for every process.

    Raises RegistrationError when there is no such folder.
    """
    folder = SpecFolder(Path(os.path.realpath(path)), str(path))
    if not folder.path.is_dir():
        raise RegistrationError(f"{path}: there is no such folder of specs")
    if folder not in _registered:
        _registered.append(folder)
        _offers.cache_clear()


def spec_files() -> dict[str, Path]:
    """Name of a spec -> its file, for every name that one folder alone offers."""
    return {name: offers[0][0] for name, offers in _offers()[0].items() if len(offers) == 1}


def get_spec_file(name: str) -> Path:
    """The file of one spec.

    Raises UnknownNameError, with the nearest name; RegistrationError when two folders offer it.
    """
    offers, lost = _offers()
    if name not in offers:
        raise UnknownNameError(f"unknown spec {name!r}{suggest(name, offers)}{''.join(f' ({why})' for why in lost)}")
    if len(offers[name]) > 1:
        raise RegistrationError(_doubled(name))
    return offers[name][0][0]


def spec_origins(name: str) -> list[str]:
    """Who offers a spec: name and version of distributions, and folders that this process registered."""
    return [folder.origin for _, folder in _offers()[0].get(name, ())]


def spec_troubles() -> list[str]:
    """What is wrong with what is offered: names that two folders claim, entries that lead to no folder."""
    offers, lost = _offers()
    return [*(_doubled(name) for name, found in offers.items() if len(found) > 1), *lost]


def _doubled(name: str) -> str:
    origins = (folder.origin for _, folder in _offers()[0][name])
    return f"spec {name!r} is offered by {' and by '.join(origins)}; uninstall one"


@cache
def _offers() -> tuple[dict[str, list[tuple[Path, SpecFolder]]], list[str]]:
    """Who offers each name, and why some entries offer none. Neither troubles those who ask for another name."""
    folders, lost = list[SpecFolder](), list[str]()
    for entry in allowed_entries(GROUP):
        try:
            folders.append(SpecFolder(locate_folder(entry), entry.distribution))
        except PluginError as error:
            lost.append(str(error))
    found: dict[str, list[tuple[Path, SpecFolder]]] = {}
    for folder, file in _files([*folders, *_registered]):
        found.setdefault(file.stem, []).append((file, folder))
    return dict(sorted(found.items())), lost


def _files(folders: list[SpecFolder]) -> Iterator[tuple[SpecFolder, Path]]:
    seen: set[str] = set()
    for folder in folders:
        for file in sorted(folder.path.glob("*.yaml")):
            if (real := os.path.realpath(file)) not in seen:  # one folder may be offered twice
                seen.add(real)
                yield folder, file


def locate_folder(entry: Entry, *, of: str = "specs") -> Path:
    """`package.folder` as a path: the top-level package is found, never imported, and then descended by path.

    Raises PluginError when there is no such folder; `of` is what it should hold, for the message.
    """
    top, *below = entry.target.split(".")
    for place in _places(top):
        if (folder := place.joinpath(*below)).is_dir():
            return folder
    for depth in range(len(below), 0, -1):  # a folder that an editable install maps to another name
        for place in _places(".".join([top, *below[:depth]])):
            if (folder := place.joinpath(*below[depth:])).is_dir():
                return folder
    raise PluginError(f"{entry.name} ({entry.target}, from {entry.distribution}): there is no such folder of {of}")


def _places(package: str) -> list[Path]:
    try:
        spec = find_spec(package)
    except Exception:  # whatever a package above it raises when it is imported, there is no folder to be had
        return []
    return [Path(p) for p in spec.submodule_search_locations or ()] if spec else []
