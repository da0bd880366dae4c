"""Records of model classes kept on disk: one JSON file for each class, good for as long as its sources are the same."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from tempfile import NamedTemporaryFile

from triptych.registry.model_info import ModelInfo
from triptych.registry.sources import find_digest, find_distribution, find_source

VARIABLE = "TRIPTYCH_CACHE"
FORMAT = 1

logger = logging.getLogger(__name__)


def get_cache_folder() -> Path:
    """The folder that TRIPTYCH_CACHE names, else `triptych` in the user's cache folder (XDG base directories)."""
    if given := os.environ.get(VARIABLE):
        return Path(given).absolute()
    shared = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(shared) if os.path.isabs(shared) else Path.home() / ".cache") / "triptych"


def load_record(target: str) -> ModelInfo | None:
    """The record kept of class `module:Class`, if its sources and versions are what they were; else None.

    A file that cannot be read, or holds anything else, counts as none.
    """
    try:
        entry = json.loads(_file(target).read_bytes())
        if entry["key"] != _key(target, entry["key"]["modules"]):
            return None
        return ModelInfo.from_json(json.dumps(entry["info"]))
    except (OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
        logger.debug("no record of %s: %s: %s", target, type(error).__name__, error)
        return None


def save_record(target: str, info: ModelInfo, *, modules: Iterable[str], since: float) -> None:
    """Keep the record of class `module:Class`; whoever reads meanwhile finds the old file or the new one, whole.

    `modules` are those that its bases stand in. Nothing is kept when one of them has no source, or when its source has
    changed `since` (seconds since the epoch), and so perhaps after it was read; nor when the folder cannot be written.
    """
    try:
        key = _key(target, modules)
        if all(_is_settled(name, since) for name in modules):
            _write(_file(target), json.dumps({"key": key, "info": json.loads(info.to_json())}, indent=1))
    except (OSError, RuntimeError) as error:
        logger.debug("the record of %s is not kept: %s: %s", target, type(error).__name__, error)


def _key(target: str, modules: Iterable[str]) -> dict[str, object]:
    """What a record depends on: the text of these modules, and the versions of what brings them."""
    modules = sorted(modules)
    brought = {find_distribution(name) for name in ("triptych", *modules)}
    digests = {name: find_digest(name) for name in modules}
    return {"format": FORMAT, "target": target, "versions": sorted(brought), "modules": digests}


def _is_settled(module: str, since: float) -> bool:
    source = find_source(module)
    return source is not None and source.stat().st_mtime < since


def _file(target: str) -> Path:
    return get_cache_folder() / "model_info" / f"{target.replace(':', '-')}.json"


def _write(file: Path, text: str) -> None:
    _make_private(file.parent)
    with NamedTemporaryFile("w", dir=file.parent, prefix=".", delete=False, encoding="utf-8") as beside:
        try:
            beside.write(text)
            beside.close()
            os.replace(beside.name, file)
        except BaseException:
            os.unlink(beside.name)
            raise


def _make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for the user alone (0700)."""
    if not folder.parent.is_dir():
        _make_private(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)
