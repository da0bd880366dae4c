"""Who offers what, for lists: the distributions behind a name. Imports nothing."""

from __future__ import annotations

from triptych.registry.allow_list import allowed_entries
from triptych.registry.specs import spec_origins

CONF = "triptych.conf"  # folders of Hydra config groups
_SPECS = "triptych.specs"


def distributions(group: str, name: str) -> list[str]:
    """Name and version of each distribution that offers `name` in a group; none where only this process has it."""
    return sorted({entry.distribution for entry in allowed_entries(group) if entry.name == name})


def spec_distributions(name: str) -> list[str]:
    """Name and version of each distribution with a folder that holds the spec `name`."""
    known = {entry.distribution for entry in allowed_entries(_SPECS)}
    return sorted(known & set(spec_origins(name)))


def conf_names() -> list[str]:
    """The names under which distributions offer folders of config groups."""
    return sorted({entry.name for entry in allowed_entries(CONF)})
