"""Parts by kind and name.

An entry `mixer.attention = "package.module:Target"` of the group `triptych.parts` offers one. The target is a part, a
class with its `Spec` inside, or better that Spec itself (`builds` then names the part): validation then needs no
torch. `@part(kind, name)` registers the same in this process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TypeVar

from triptych.errors import PluginError, RegistrationError, UnknownNameError, suggest
from triptych.registry.entries import Entry, entries

GROUP = "triptych.parts"
KINDS = ("norm", "position", "mixer", "embed", "table", "projector", "head", "size", "transform", "activation")

T = TypeVar("T")
_decorated: dict[tuple[str, str], object] = {}


@dataclass(frozen=True)
class Part:
    """One registered part. `target` is a Spec, a class that holds one, or a plain function (activations)."""

    kind: str
    name: str
    target: object
    origin: str

    @property
    def spec(self) -> type:
        """The class that types what YAML says of this part; no torch is needed when the entry names a Spec."""
        found = getattr(self.target, "Spec", self.target)
        if not isinstance(found, type):
            raise PluginError(f"{self.kind} {self.name!r} ({self.origin}) has no Spec class")
        return found


def part(kind: str, name: str) -> Callable[[T], T]:
    """Register the decorated Spec, class with a `Spec`, or function as part `name` of `kind`.

    Raises RegistrationError for an unknown kind and for a name that another object holds already.
    """
    if kind not in KINDS:
        raise RegistrationError(f"unknown kind of part {kind!r}{suggest(kind, KINDS)}")

    def register(target: T) -> T:
        other = _decorated.get((kind, name))
        if other is not None and _identity(other) != _identity(target):
            raise RegistrationError(
                f"{kind} {name!r} is {_identity(other)} already, and {_identity(target)} asks for the name"
            )
        _decorated[kind, name] = target
        return target

    return register


def part_names(kind: str) -> list[str]:
    """The names registered under `kind`; imports nothing."""
    offered = {entry.name.removeprefix(f"{kind}.") for entry in entries(GROUP) if entry.name.startswith(f"{kind}.")}
    return sorted(offered | {name for k, name in _decorated if k == kind})


def get_part(kind: str, name: str) -> Part:
    """The part `name` of `kind`, its target imported.

    Raises UnknownNameError, with the nearest name; RegistrationError when two distributions offer it; PluginError when
    it cannot be imported.
    """
    offered = [entry for entry in entries(GROUP) if entry.name == f"{kind}.{name}"]
    if len(offered) > 1:
        raise RegistrationError(
            f"{kind} {name!r} is offered by {' and by '.join(map(_origin, offered))}; uninstall one"
        )
    if (decorated := _decorated.get((kind, name))) is not None:
        return Part(kind, name, decorated, _identity(decorated))
    if not offered:
        raise UnknownNameError(f"unknown {kind} {name!r}{suggest(name, part_names(kind))}")
    return Part(kind, name, offered[0].load(), _origin(offered[0]))


def get_builder(target: str | type) -> type:
    """The class behind `module:Class`, or the class itself. Raises PluginError when it cannot be imported."""
    if isinstance(target, type):
        return target
    module, _, name = target.partition(":")
    try:
        found = getattr(import_module(module), name)
    except Exception as error:
        raise PluginError(f"{target} cannot be imported: {type(error).__name__}: {error}") from error
    assert isinstance(found, type), target
    return found


def _identity(target: object) -> str:
    return f"{getattr(target, '__module__', '?')}:{getattr(target, '__qualname__', repr(target))}"


def _origin(entry: Entry) -> str:
    return f"{entry.distribution} ({entry.target})"
