"""From the architectures that a checkpoint lists to the record, or the class, of the model that serves them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from types import MappingProxyType
from typing import NamedTuple, Protocol, TypeVar, get_args

from triptych.arguments import check_arguments
from triptych.errors import (
    OptionError,
    Problem,
    RegistrationError,
    RegistrationTypeError,
    TriptychError,
    short,
    suggest,
)
from triptych.registry.model_info import ModelInfo
from triptych.registry.models import Model, Offer, Spec, SpecModel, claims, doubled, model_names, registered_models
from triptych.registry.plugins import load_plugins
from triptych.registry.queries import Names, Queries
from triptych.registry.suffixes import Conversion, Runner, siblings
from triptych.registry.unresolved import NATIVE, Failure, unresolved

AUTO = "auto"  # those, and a generic backend for what they do not serve

NOTHING: Mapping[str, str] = MappingProxyType({})
Found = TypeVar("Found")


@dataclass(frozen=True)
class ResolutionSettings:
    """What resolution reads of the settings of a run. Raises OptionError for values that there are not.

    `backend` is "auto", "triptych", or the name of the generic backend, which is then forced. `runner` and
    `conversion` are None while they are unknown. `model` (a folder, a name) only tells one answer from another.
    """

    model: str = ""
    backend: str = AUTO
    runner: Runner | None = None
    conversion: Conversion | None = None
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        choices = {"runner": get_args(Runner), "conversion": get_args(Conversion)}
        given = {name: getattr(self, name) for name in choices}
        wrong = [
            Problem(f"{value!r} is not to be had{suggest(str(value), choices[name])}", name)
            for name, value in given.items()
            if value is not None and value not in choices[name]
        ]
        if wrong:
            raise OptionError(wrong)


class Specs(Protocol):
    """What reads specs, which stands above the registry."""

    def architectures(self) -> Mapping[str, Sequence[Spec]]:
        """Architecture -> the specs that claim it, of all that are registered."""

    def offer(self, architecture: str, spec: Spec) -> Offer:
        """One spec as a model to inspect and to load; nothing is read yet."""

    def troubles(self) -> Sequence[str]:
        """Why some specs claim nothing, for the message about an architecture that nobody serves."""


class GenericBackend(Protocol):
    """What serves architectures that nothing here is written for."""

    @property
    def name(self) -> str:
        """What `ResolutionSettings.backend` says to force it."""

    def offer(self, architecture: str, settings: ResolutionSettings) -> Offer:
        """The model that serves an architecture. Raises TriptychError that says why it cannot."""


class Inspected(NamedTuple):
    """A record, the name that was asked for, and the name that it is registered under (that of a sibling, perhaps)."""

    info: ModelInfo
    architecture: str
    registered: str


class Resolved(NamedTuple):
    """A model class, the name that was asked for, and the name that it is registered under."""

    model: type
    architecture: str
    registered: str

    @property
    def is_sibling(self) -> bool:
        """Whether the model is registered under another name than was asked for."""
        return self.architecture != self.registered


class Resolver(Queries):
    """Answers for what is registered, what entry points offer and what `specs` reads.

    `generic` serves what none of them does, if there is one. `conversions` turn a class into one that embeds or
    classifies. `removed` says of an architecture which version was the last to have it, `external` where to get it.
    """

    def __init__(
        self,
        specs: Specs,
        *,
        generic: GenericBackend | None = None,
        conversions: Mapping[Conversion, Callable[[type], type]] | None = None,
        removed: Mapping[str, str] = NOTHING,
        external: Mapping[str, str] = NOTHING,
    ) -> None:
        self.specs, self.generic, self.conversions = specs, generic, conversions or {}
        self.removed, self.external = removed, external
        self._resolved = lru_cache(maxsize=128)(self._resolve)

    def inspect(self, architectures: Names, settings: ResolutionSettings) -> Inspected:
        """The record of the first of these architectures that can be served; imports no model code.

        One that is not registered is served by a sibling, whose name ends in another suffix of the table. Raises
        RegistrationError, of the kind UnknownNameError when nothing serves any of them, with the cause for each name;
        OptionError for a backend that there is not; and what a plugin raises.
        """
        check_arguments(settings=(settings, ResolutionSettings))
        load_plugins()
        return Inspected(*self._first(_listed(architectures), settings, lambda offer: offer.inspect()))

    def resolve(self, architectures: Names, settings: ResolutionSettings) -> Resolved:
        """The class of the first of these architectures that can be served, converted as the settings say.

        Remembered for as long as this process registers nothing. Raises as `inspect` does, and OptionError for a
        conversion that there is not.
        """
        check_arguments(settings=(settings, ResolutionSettings))
        load_plugins()
        return self._resolved(_listed(architectures), settings, registered_models())

    def architectures(self) -> list[str]:
        """Every architecture that is served by name."""
        return sorted({*model_names(), *self.specs.architectures()})

    def _resolve(
        self, names: tuple[str, ...], settings: ResolutionSettings, _registered: tuple[Model, ...]
    ) -> Resolved:
        convert = self._conversion(settings.conversion)
        return Resolved(*self._first(names, settings, lambda offer: convert(offer.load())))

    def _first(
        self, names: tuple[str, ...], settings: ResolutionSettings, use: Callable[[Offer], Found]
    ) -> tuple[Found, str, str]:
        """What `use` makes of the first offer that it can use, the name asked for, and the name registered."""
        if settings.backend not in (AUTO, NATIVE):
            return self._forced(names[0], settings, use)
        known = self.architectures()
        failures: list[Failure] = []
        for name, backend, find in self._offers(names, settings, known):
            try:
                offer = find()
                return use(offer), name, offer.architecture
            except TriptychError as error:
                failures.append(Failure(name, backend, error))
        first = failures[0].error if failures else None
        told = {"known": known, "troubles": self.specs.troubles()}
        raise unresolved(names, failures, **told, removed=self.removed, external=self.external) from first

    def _offers(
        self, names: tuple[str, ...], settings: ResolutionSettings, known: Sequence[str]
    ) -> Iterator[tuple[str, str, Callable[[], Offer]]]:
        """Names, the backend for each, and how it finds it, in the order in which they are tried."""
        generic = self.generic if settings.backend == AUTO and not set(names) & set(known) else None
        converted = settings.conversion not in (None, "none")
        if generic and not converted:
            yield names[0], generic.name, partial(generic.offer, names[0], settings)
        for name in names:
            if registered := _registered_name(name, known, settings):
                yield name, NATIVE, partial(self._offer, registered)
        if generic and converted:
            yield names[0], generic.name, partial(generic.offer, names[0], settings)

    def _offer(self, architecture: str) -> Offer:
        found = claims(architecture)
        if not any(model.overrides for model in found):
            specs = self.specs.architectures().get(architecture, ())
            found += [SpecModel(architecture, spec) for spec in specs if spec not in [m.target for m in found]]
        if len(found) > 1:
            raise RegistrationError(doubled(architecture, found))
        return self.specs.offer(architecture, found[0].target) if isinstance(found[0], SpecModel) else found[0]

    def _forced(self, name: str, settings: ResolutionSettings, use: Callable[[Offer], Found]) -> tuple[Found, str, str]:
        known = [AUTO, NATIVE, *([self.generic.name] if self.generic else [])]
        if self.generic is None or settings.backend not in known:
            near = suggest(settings.backend, known)
            raise OptionError(f"there is no backend {settings.backend!r}{near}", path="backend")
        try:
            offer = self.generic.offer(name, settings)
            return use(offer), name, offer.architecture
        except TriptychError as error:
            raise RegistrationError(f"backend {settings.backend!r} cannot serve {name!r}: {error}") from error

    def _conversion(self, conversion: Conversion | None) -> Callable[[type], type]:
        if conversion in (None, "none"):
            return lambda model: model
        if conversion not in self.conversions:
            known = ["none", *self.conversions]
            raise OptionError(f"{conversion!r} cannot be done{suggest(conversion, known)}", path="conversion")
        return self.conversions[conversion]


def _registered_name(name: str, known: Sequence[str], settings: ResolutionSettings) -> str:
    """The name itself or, if that is not known, the first sibling that is; '' when none is."""
    others = siblings(name, runner=settings.runner, conversion=settings.conversion)
    return next((candidate for candidate in (name, *others) if candidate in known), "")


def _listed(architectures: Names) -> tuple[str, ...]:
    several = isinstance(architectures, Iterable) and not isinstance(architectures, str | Mapping)
    given: tuple[object, ...] = tuple(architectures) if several else (architectures,)
    names = tuple(name for name in given if isinstance(name, str))
    if len(names) < len(given):
        raise RegistrationTypeError(f"architectures are names, not {short(given)}")
    if not names:
        raise RegistrationError("no architecture is given: the checkpoint's config lists none")
    return names
