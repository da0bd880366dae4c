"""The process in which a model class is inspected.

`python -P -m triptych.registry.child ARCHITECTURE MODULE:CLASS DISTRIBUTION`; the last one is empty where no entry
point offers the class. It loads the plugins, imports the class, and writes one JSON object to its standard output: the
record, and the modules that the class and its bases stand in. What anything else prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys

from triptych.registry.inspection import inspect_loaded
from triptych.registry.lazy import load_class
from triptych.registry.plugins import load_plugins


def main(architecture: str, target: str, distribution: str) -> None:
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answer:
        os.dup2(2, 1)  # a plugin or a model that prints does not spoil the answer
        load_plugins()
        found = load_class(target, architecture=architecture, distribution=distribution)
        record = json.loads(inspect_loaded(found, architecture=architecture).to_json())
        json.dump({"info": record, "modules": modules_of(found, target)}, answer)


def modules_of(found: type, target: str) -> list[str]:
    """The module that a class is found in, and those that it and its bases are written in; Python's own left out."""
    names = {target.partition(":")[0], *(base.__module__ for base in found.__mro__)}
    return sorted(name for name in names if name.partition(".")[0] not in sys.stdlib_module_names)


if __name__ == "__main__":
    main(*sys.argv[1:])
