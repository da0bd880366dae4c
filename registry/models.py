"""Models by architecture, the name that a checkpoint's config lists.

An entry `LlamaForCausalLM = "package.module:Class"` of the group `triptych.models` offers one to every process;
`register_model` and the decorator `@model` add one to this process alone. A class given as text is imported only when
it is loaded, and inspected without that.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from os.path import realpath
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar, get_args

from triptych.errors import Problem, RegistrationError, RegistrationTypeError, short, suggest
from triptych.registry.allow_list import allowed_entries
from triptych.registry.lazy import load_class, target_fault
from triptych.registry.processing import RegistrationWarning
from triptych.registry.sources import origin_of

if TYPE_CHECKING:
    from triptych.registry.model_info import ModelInfo

GROUP = "triptych.models"
OnDuplicate = Literal["error", "warn", "replace"]
Spec = Path | Mapping[str, object]
Target = type | str | Spec
C = TypeVar("C", bound=type)

logger = logging.getLogger(__name__)


class Offer(Protocol):
    """One way to serve an architecture; `architecture` is the name that it is registered under."""

    @property
    def architecture(self) -> str: ...

    @property
    def origin(self) -> str:
        """Who offers it, for messages: distribution and file."""

    def inspect(self) -> ModelInfo:
        """What it can do. Raises TriptychError when that cannot be found out."""

    def load(self) -> type:
        """The model class. Raises TriptychError when it cannot be had."""


@dataclass(frozen=True, eq=False)
class ClassModel:
    """A class, inspected when it was registered."""

    architecture: str
    target: type
    info: ModelInfo
    overrides: bool = False

    @property
    def origin(self) -> str:
        return origin_of(_name(self.target))

    def inspect(self) -> ModelInfo:
        return self.info

    def load(self) -> type:
        return self.target


@dataclass(frozen=True, eq=False)
class LazyModel:
    """A class by name, which an entry point of `distribution` says, or `register_model` in this process."""

    architecture: str
    target: str
    distribution: str = ""
    overrides: bool = False

    @property
    def origin(self) -> str:
        return origin_of(self.target, self.distribution)

    def inspect(self) -> ModelInfo:
        if fault := target_fault(self.target):
            raise RegistrationError(f"{self.architecture} (from {self.distribution}): {fault}")
        from triptych.registry.inspection import inspect_class  # pydantic, which no list of names needs

        return inspect_class(self.target, architecture=self.architecture, distribution=self.distribution)

    def load(self) -> type:
        return load_class(self.target, architecture=self.architecture, distribution=self.distribution)


@dataclass(frozen=True, eq=False)
class SpecModel:
    """A spec, by file or as a mapping; whoever reads specs makes an `Offer` of it."""

    architecture: str
    target: Spec
    overrides: bool = False

    @property
    def origin(self) -> str:
        return str(self.target) if isinstance(self.target, Path) else "a mapping given to register_model"


Model = ClassModel | LazyModel | SpecModel
_registered: dict[str, Model] = {}


def register_model(architecture: str, target: Target, *, on_duplicate: OnDuplicate = "error") -> None:
    """Serve an architecture by a class, by `"module:Class"`, or by a spec: the path of its YAML file, or a mapping.

    A class is inspected at once, text stays as it is until it is asked for. The same object, or its name, may be
    registered again. When something else is registered or offered by an entry point, `on_duplicate` decides: "error"
    raises RegistrationError that names both origins, "warn" and "replace" let the newcomer have the name, in this
    process. Raises RegistrationTypeError (a TypeError) for what is no str or no target, RegistrationError (a
    ValueError) for text that names no class, and CapabilityError for a class that is no model.
    """
    _check(architecture, target, on_duplicate)
    old, overrides = _registered.get(architecture), on_duplicate != "error"
    new = _model(architecture, target, overrides=overrides)
    if old and _is_same(old, new):  # a class says more than its name, and what it was given once it keeps
        new = replace(new if isinstance(new, ClassModel) else old, overrides=overrides or old.overrides)
    if others := [other for other in claims(architecture) if not _is_same(other, new)]:
        _tell_duplicate(new, others, on_duplicate)
    _registered[architecture] = new


def model(*architectures: str, on_duplicate: OnDuplicate = "error") -> Callable[[C], C]:
    """Register the decorated class for these architectures, as `register_model` does."""

    def register(found: C) -> C:
        for architecture in architectures:
            register_model(architecture, found, on_duplicate=on_duplicate)
        return found

    return register


def model_names() -> list[str]:
    """The architectures that are registered or offered by entry points; specs are not among them. Imports nothing."""
    return sorted({entry.name for entry in allowed_entries(GROUP)} | _registered.keys())


def registered_models() -> tuple[Model, ...]:
    """What this process has registered by now."""
    return tuple(_registered.values())


def model_troubles() -> list[str]:
    """What is wrong with what is offered: architectures that two distributions claim, entries that name no class."""
    found = {name: claims(name) for name in model_names()}
    faults = [
        f"{offer.architecture} (from {offer.distribution}): {fault}"
        for offers in found.values()
        for offer in offers
        if isinstance(offer, LazyModel) and (fault := target_fault(offer.target))
    ]
    return [*(doubled(name, offers) for name, offers in found.items() if len(offers) > 1), *faults]


def claims(architecture: str) -> list[Model]:
    """Everything that is offered for an architecture; more than one is a conflict. Imports nothing."""
    registered = _registered.get(architecture)
    entries = (e for e in allowed_entries(GROUP) if e.name == architecture)
    offered = [LazyModel(entry.name, entry.target, entry.distribution) for entry in entries]
    if registered is None:
        return list(offered)
    if registered.overrides:
        return [registered]
    return [registered, *(offer for offer in offered if not _is_same(offer, registered))]


def doubled(architecture: str, offers: Iterable[Offer | Model]) -> str:
    """The message about an architecture that several claim."""
    origins = " and by ".join(offer.origin for offer in offers)
    cure = "uninstall one, or register one with on_duplicate='replace'"
    return f"architecture {architecture!r} is offered by {origins}; {cure}"


def _check(architecture: object, target: object, on_duplicate: str) -> None:
    """Raise all that is wrong with a registration, whatever the others say."""
    types, values = list[str](), list[str]()
    if not isinstance(architecture, str):
        types.append(f"an architecture is a str, not {short(architecture)}")
    elif not architecture:
        values.append("an architecture is a name, not ''")
    if not isinstance(target, type | str | Path | Mapping):
        types.append(f"{architecture}: a class, 'module:Class' or a spec is wanted, not {short(target)}")
    elif isinstance(target, str | Path) and (fault := _text_fault(target)):
        values.append(f"{architecture}: {fault}")
    if on_duplicate not in get_args(OnDuplicate):
        values.append(f"on_duplicate: {on_duplicate!r} is no policy{suggest(on_duplicate, get_args(OnDuplicate))}")
    if types or values:
        raise (RegistrationTypeError if types else RegistrationError)(map(Problem, types + values))


def _text_fault(target: str | Path) -> str:
    if _is_file_name(target):
        return "" if Path(target).is_file() else f"there is no spec file {target}"
    return target_fault(str(target))


def _is_file_name(target: str | Path) -> bool:
    return isinstance(target, Path) or target.endswith((".yaml", ".yml"))


def _model(architecture: str, target: Target, *, overrides: bool) -> Model:
    if isinstance(target, type):
        from triptych.registry.inspection import inspect_loaded

        return ClassModel(architecture, target, inspect_loaded(target, architecture=architecture), overrides)
    if isinstance(target, str | Path) and _is_file_name(target):
        return SpecModel(architecture, Path(realpath(target)), overrides)
    if isinstance(target, str):
        return LazyModel(architecture, target, overrides=overrides)
    return SpecModel(architecture, deepcopy(target), overrides)


def _tell_duplicate(new: Model, others: list[Model], on_duplicate: OnDuplicate) -> None:
    origins = " and by ".join(other.origin for other in others)
    message = f"architecture {new.architecture!r} is served by {origins}, and {new.origin} asks for the name"
    if on_duplicate == "error":
        raise RegistrationError(f"{message}; on_duplicate='replace' gives it away")
    if on_duplicate == "warn":
        warnings.warn(f"{message} and has it now", RegistrationWarning, stacklevel=3)
    logger.debug("%s and has it now", message)


def _is_same(one: Model, other: Model) -> bool:
    """Whether two registrations mean one object: the same, or one of them its name."""
    named = isinstance(one.target, str) or isinstance(other.target, str)
    return one.target == other.target or (named and _name(one.target) == _name(other.target))


def _name(target: Target) -> str:
    if isinstance(target, type):
        return f"{target.__module__}:{target.__qualname__}"
    return target if isinstance(target, str) else ""
