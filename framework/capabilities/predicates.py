"""What a predicate of a capability is: a question to a class or an instance that narrows its type."""

from __future__ import annotations

import warnings
from typing import Generic, TypeVar, overload

from typing_extensions import TypeIs

from triptych.capabilities.members import class_of
from triptych.capabilities.table import CAPABILITIES, Capability
from triptych.errors import TriptychWarning

Interface = TypeVar("Interface")


class CapabilityWarning(TriptychWarning):
    """A flag and the members that it speaks of are not both there."""


class Option:
    """True where the flag of an option is up; the option has no interface of its own, so no type is narrowed."""

    def __init__(self, name: str) -> None:
        self.capability = CAPABILITIES[name]

    def __call__(self, model: object) -> bool:
        return self.capability.is_declared(model)

    def __repr__(self) -> str:
        return self.capability.name


class Flagged(Option, Generic[Interface]):
    """True where the flag is up: it is believed."""

    @overload
    def __call__(self, model: type[object]) -> TypeIs[type[Interface]]: ...
    @overload
    def __call__(self, model: object) -> TypeIs[Interface]: ...
    def __call__(self, model: object) -> bool:
        return self._holds(model)

    def _holds(self, model: object) -> bool:
        return self.capability.is_declared(model)


class Proven(Flagged[Interface]):
    """True where the flag is up and every member that it needs is there; warns where only one of the two is so."""

    def _holds(self, model: object) -> bool:
        state = self.capability.state(model)
        if state in ("contradicted", "implemented"):
            warnings.warn(disagreement(self.capability, model), CapabilityWarning, stacklevel=3)
        return state == "verified"


def disagreement(capability: Capability, model: object) -> str:
    """In words, how a class's flag and its members differ: class, flag and each missing member."""
    owner = class_of(model).__qualname__
    flag = f"{capability.flag} = {capability.value!r}" if capability.flag else f"the interface of {capability.name}"
    if missing := capability.missing(model):
        return f"{owner} has {flag}, and lacks what that needs: {', '.join(map(str, missing))}"
    return f"{owner} has all that {capability.name} needs, and lacks {flag}: set the flag, or inherit the interface"
