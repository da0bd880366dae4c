"""Which model class serves a config: one that is written by hand, or one that is made of a spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from triptych.assembly.model_class import FromSpec, model_class
from triptych.errors import SpecError
from triptych.registry.resolution import ResolutionSettings, Resolved
from triptych.registry.suffixes import CONVERSIONS, Conversion, find_suffix
from triptych.spec.catalog import find_family, load_named
from triptych.spec.models import resolver


@dataclass(frozen=True)
class Choice:
    """A model class, and what a spec is still to be converted to; a class that is written by hand is converted."""

    model: type
    convert: str | None


def choose(config: Mapping[str, Any], *, convert: Conversion | None = None, name: str = "") -> Choice:
    """The class for a checkpoint's config, by its `architectures`, or by its `model_type` where it lists none.

    An architecture that nothing is registered for may be that of a model which is, converted. `name` is the
    checkpoint's. Raises RegistrationError (UnknownNameError when nothing answers), with the cause for each name; and
    SpecError for an architecture of which only a sibling is there that nothing makes it of.
    """
    given = config.get("architectures")
    names = [n for n in (given if isinstance(given, list) else [given]) if isinstance(n, str) and n]
    if not names:
        family, tree = load_named(find_family(config))
        return Choice(model_class(tree, name=family, architecture=family), convert)
    settings = ResolutionSettings(model=name)
    found = resolver().resolve(names, settings)
    how = convert or (_implied(found) if found.is_sibling else None)
    if how is None or issubclass(found.model, FromSpec):
        return Choice(found.model, how)
    return Choice(resolver().resolve(found.registered, replace(settings, conversion=how)).model, how)


def _implied(found: Resolved) -> Conversion:
    """What makes the architecture that was asked for of its sibling that is registered."""
    if (how := CONVERSIONS.get(find_suffix(found.architecture))) is None:
        served = f"{found.registered} is served, and cannot be made it"
        raise SpecError(f"no spec answers for {found.architecture}; {served}")
    return how
