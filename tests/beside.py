"""Modules of `tools` and `benchmarks`, which stand beside the package and are not installed."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def imported(package: str, name: str) -> Any:
    """A module of one of them, found without the root of the repository on the path."""
    folder = ROOT / package
    found = spec_from_file_location(package, folder / "__init__.py", submodule_search_locations=[str(folder)])
    assert found is not None
    sys.modules.setdefault(package, module_from_spec(found))
    return import_module(f"{package}.{name}")
