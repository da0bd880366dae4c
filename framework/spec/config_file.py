"""The config of a checkpoint folder: `config.json`, or a file of another name that its makers write. No torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from triptych.errors import CheckpointError, RegistrationError
from triptych.spec.catalog import catalog
from triptych.spec.json_file import read_json

USUAL = "config.json"


def read_config(path: Path) -> dict[str, Any]:
    """The file itself, or that of a folder: `config.json`, else one of a name that a spec knows (`config_file`).

    A config of such a name says nothing of its family: it is given the name of that which has most of its keys.
    Raises CheckpointError when there is none, when it is no JSON mapping, and when no spec knows its keys.
    """
    file = _found(path) if os.path.isdir(path) else path
    found = read_json(file)
    usual = file.name == USUAL or file.name not in other_names()
    return found if usual else {**found, **_claim(file, found)}


def other_names() -> list[str]:
    """The names, beside the usual one, that registered specs know of a config."""
    return sorted({name for listed in catalog().values() for name in (listed.config_file or ())[:1]})


def _found(folder: Path) -> Path:
    if (usual := folder / USUAL).is_file():  # which needs none of the specs to be read
        return usual
    names = [USUAL, *other_names()]
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        raise CheckpointError(f"{folder}: no config: a folder has a {' or a '.join(names)}")
    return found


def _claim(file: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """What a config would say had its makers named its family."""
    known = [(listed, *listed.config_file) for listed in catalog().values() if listed.config_file]
    keys_of = {listed: keys for listed, name, keys in known if name == file.name}
    fits = {listed: len(keys) for listed, keys in keys_of.items() if config.keys() >= {*keys}}
    if not fits:
        told = "; ".join(f"{listed.name} by {', '.join(keys)}" for listed, keys in keys_of.items())
        raise CheckpointError(f"{file}: no spec answers for its keys; known: {told}")
    best = [listed for listed, count in fits.items() if count == max(fits.values())]
    if len(best) > 1:
        raise RegistrationError(f"{file}: claimed by {' and by '.join(listed.name for listed in best)}")
    return {"architectures": [*best[0].architectures], "model_type": next(iter(best[0].model_types), None)}
