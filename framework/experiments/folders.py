"""Where the files of experiments are: the folders of the entry-point group `triptych.conf`, found without an import."""

from __future__ import annotations

import logging
from pathlib import Path

from triptych.errors import PluginError
from triptych.registry.allow_list import allowed_entries
from triptych.registry.offers import CONF
from triptych.registry.specs import locate_folder

logger = logging.getLogger(__name__)


def conf_folders() -> list[tuple[str, Path]]:
    """Who offers each folder, and its path; triptych's own is last, so that another's file of one name comes first.

    An entry that leads to no folder is logged and left alone.
    """
    found = list[tuple[str, Path]]()
    for entry in allowed_entries(CONF):
        try:
            found.append((entry.distribution, locate_folder(entry, of="configs")))
        except PluginError as error:
            logger.warning("%s; it is skipped", error)
    return sorted(found, key=lambda offer: offer[0].partition(" ")[0] == "triptych")
