"""A model class by the name that it is registered under, for the commands that show one."""

from __future__ import annotations

from collections.abc import Sequence

from triptych.errors import OptionError
from triptych.registry.models import model_names
from triptych.registry.resolution import ResolutionSettings
from triptych.spec.models import resolver


def find_class(name: str, overrides: Sequence[str]) -> type | None:
    """The class, imported; None where that is the name of none. Raises OptionError for overrides, and what fails."""
    if name not in model_names():
        return None
    if overrides:
        raise OptionError(f"{name} is a model class, and has no spec for {', '.join(overrides)} to change")
    return resolver().resolve(name, ResolutionSettings()).model
