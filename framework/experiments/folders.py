"""Where the files of experiments are: the folders of the entry-point group `triptych.conf`, found without an import."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

from triptych.errors import PluginError, Problem, SpecError
from triptych.registry.allow_list import allowed_entries
from triptych.registry.offers import CONF
from triptych.registry.specs import locate_folder

logger = logging.getLogger(__name__)


def conf_folders() -> list[tuple[str, Path]]:
    """Who offers each folder, and its path. An entry that leads to no folder is logged and left alone."""
    found = list[tuple[str, Path]]()
    for entry in allowed_entries(CONF):
        try:
            found.append((entry.distribution, locate_folder(entry, of="configs")))
        except PluginError as error:
            _warn_once(f"{error}; it is skipped")
    return found


@contextmanager
def named_with_their_distribution() -> Iterator[None]:
    """A mistake in a file of somebody's package is told with the package."""
    try:
        yield
    except SpecError as error:
        others = [offer for offer in conf_folders() if not _is_own(offer[0])]
        raise SpecError(_named(problem, others) for problem in error.problems) from error


def _named(problem: Problem, others: list[tuple[str, Path]]) -> Problem:
    for distribution, folder in others:
        if problem.place and Path(problem.place.file).is_relative_to(folder):
            return replace(problem, message=f"{problem.message} (a file of {distribution})")
    return problem


@cache
def _warn_once(message: str) -> None:
    logger.warning(message)


def _is_own(distribution: str) -> bool:
    return distribution.partition(" ")[0] == "triptych"
