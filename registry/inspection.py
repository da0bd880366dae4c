"""The record of a model class: at once when it is here, else from the cache on disk, else from a fresh process.

Whatever importing a model class brings (torch, a GPU's context, monkey patches) stays in that process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from functools import lru_cache
from subprocess import CalledProcessError, TimeoutExpired
from tempfile import TemporaryFile
from textwrap import indent
from typing import IO

from triptych.capabilities import accept_older_names, check_capabilities, check_triptych_model
from triptych.errors import CapabilityError, PluginError, Problem
from triptych.registry.model_info import ModelInfo
from triptych.registry.processing import check_processor
from triptych.registry.record_cache import load_record, save_record
from triptych.registry.sources import find_distribution

TIMEOUT_S = 300.0  # importing torch from a cold network disk takes a minute
MAX_STDERR = 20_000  # characters of it that an error shows, the last ones


def inspect_loaded(model: type, *, architecture: str) -> ModelInfo:
    """The record of a class that is here. Raises CapabilityError for what it lacks, and for what it only declares."""
    accept_older_names(model)
    problems: list[Problem] = []
    for check in (check_triptych_model, check_capabilities, check_processor):
        try:
            check(model)
        except CapabilityError as error:
            problems += error.problems
    if problems:
        raise CapabilityError(problems)
    return ModelInfo.of(model, architecture=architecture)


@lru_cache(maxsize=128)
def inspect_class(target: str, *, architecture: str, distribution: str = "", timeout_s: float = TIMEOUT_S) -> ModelInfo:
    """The record of class `module:Class`, which is not imported here; `distribution` offers it by an entry point.

    What was found is remembered for the life of the process, as an import is; a failure is not. Raises PluginError,
    with what the fresh process wrote to standard error, when that fails or takes longer than `timeout_s` seconds.
    """
    info = load_record(target)
    if info is None:
        started = time.time()
        info, modules = _ask_child(target, architecture, distribution, timeout_s)
        save_record(target, info, modules=modules, since=started)
    return replace(info, architecture=architecture)


def _ask_child(target: str, architecture: str, distribution: str, timeout_s: float) -> tuple[ModelInfo, list[str]]:
    """The record, and the modules that it depends on."""
    command = [sys.executable, "-P", "-m", "triptych.registry.child", architecture, target, distribution]
    with TemporaryFile() as out, TemporaryFile() as err:  # a pipe could be held open by what the child starts
        try:
            subprocess.run(command, stdout=out, stderr=err, env=_environment(), timeout=timeout_s, check=True)
            answer = json.loads(_text(out))
            return ModelInfo.from_json(json.dumps(answer["info"])), answer["modules"]
        except (subprocess.SubprocessError, OSError, ValueError, LookupError, TypeError) as error:
            offered_by = distribution or find_distribution(target.partition(":")[0])
            where = f"{target}, from {offered_by}" if offered_by else target
            raise PluginError(_message(f"{architecture} ({where})", error, _text(err)[-MAX_STDERR:])) from error


def _environment() -> dict[str, str]:
    """This process's, with its module path: the child finds what would be found here, but for the working folder."""
    places = (os.path.abspath(place) for place in sys.path if os.path.exists(place))  # '', the working folder, does not
    return {**os.environ, "PYTHONPATH": os.pathsep.join(places)}


def _message(name: str, error: Exception, said: str) -> str:
    shown = f"\nits process wrote:\n{indent(said, '  ')}" if said else ""
    return f"{name} cannot be inspected: {_cause(error, said)}{shown}"


def _cause(error: Exception, said: str) -> str:
    if isinstance(error, TimeoutExpired):
        return f"no answer within {error.timeout:.1f} s"
    return said.rsplit("\n", maxsplit=1)[-1] if said and isinstance(error, CalledProcessError) else str(error)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace").strip()
