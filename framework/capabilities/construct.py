"""A model class and settings -> an instance, also of a class whose constructor names what it wants one by one."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping

from triptych.capabilities.members import parameters_of, takes_keyword
from triptych.errors import CapabilityError, Problem
from triptych.settings import Settings

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def takes_settings(model: type) -> bool:
    """Whether a class can be built of settings: its constructor takes them or, as in older releases, the config."""
    init = model.__init__  # type: ignore[misc]
    return takes_keyword(init, "settings") or _is_older(model)


def construct(model: type, settings: Settings, *, prefix: str = "") -> object:
    """An instance of a model class.

    A constructor of older releases is given what it names of the settings, and a DeprecationWarning says so. Raises
    CapabilityError with every argument that it wants and that settings do not have.
    """
    return model(**arguments(model, settings, prefix=prefix))


def arguments(model: type, settings: Settings, *, prefix: str = "") -> dict[str, object]:
    """What `construct` gives to the constructor of a class, by name; warns and raises as it does."""
    if not _is_older(model):
        return {"settings": settings, "prefix": prefix} if prefix else {"settings": settings}
    known = _known(settings, prefix)
    wanted = {p.name: p for p in parameters_of(model.__init__) if p.kind in _NAMED and p.name != "self"}  # type: ignore[misc]
    lost = [name for name, p in wanted.items() if name not in known and p.default is p.empty]
    if lost:
        message = f"its constructor wants this, which settings do not have; they have {', '.join(known)}"
        raise CapabilityError(Problem(message, f"{model.__qualname__}.{name}") for name in lost)
    told = f"{model.__qualname__}: a constructor of {', '.join(wanted)} is of an older release; today it takes settings"
    warnings.warn(told, DeprecationWarning, stacklevel=3)
    return {name: known[name] for name in wanted if name in known}


def _is_older(model: type) -> bool:
    names = {p.name for p in parameters_of(model.__init__)}  # type: ignore[misc]
    return "settings" not in names and bool(names & {"config", "hf_config"})


def _known(settings: Settings, prefix: str) -> Mapping[str, object]:
    """What older constructors name, by their names."""
    return {
        "config": settings.config,
        "hf_config": settings.config,
        "multimodal_config": settings.multimodal,
        "lora_config": settings.adapters,
        "stage": settings.stage,
        "prefix": prefix,
    }
