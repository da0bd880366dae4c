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

from triptych.errors import PluginError, RegistrationError, RegistrationTypeError, UnknownNameError, short, suggest
from triptych.registry.allow_list import allowed_entries
from triptych.registry.entries import Entry
from triptych.registry.part_targets import KINDS, check_kind, check_name, spec_of, target_fault
from triptych.registry.sources import origin_of

GROUP = "triptych.parts"

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
        found = spec_of(self.target)
        if not isinstance(found, type):
            raise PluginError(f"{self.kind} {self.name!r} ({self.origin}) has no Spec class")
        return found


def part(kind: str, name: str) -> Callable[[T], T]:
    """Register the decorated Spec, class with a `Spec`, or function as part `name` of `kind`.

    Raises RegistrationError for an unknown kind and for a name that another object holds already,
    RegistrationTypeError for what can be no part of that kind.
    """
    check_kind(kind)
    check_name(kind, name)

    def register(target: T) -> T:
        if fault := target_fault(kind, target):
            raise RegistrationTypeError(f"{kind} {name!r}: {fault}")
        other = _decorated.get((kind, name))
        if other is not None and _identity(other) != _identity(target):
            raise RegistrationError(
                f"{kind} {name!r} is {_identity(other)} already, and {_identity(target)} asks for the name"
            )
        _decorated[kind, name] = target
        return target

    return register


def part_names(kind: str) -> list[str]:
    """The names registered under `kind`; imports nothing. Raises UnknownNameError for what is no kind of part."""
    check_kind(kind)
    offered = {
        entry.name.removeprefix(f"{kind}.") for entry in allowed_entries(GROUP) if entry.name.startswith(f"{kind}.")
    }
    return sorted(offered | {name for k, name in _decorated if k == kind})


def get_part(kind: str, name: str) -> Part:
    """The part `name` of `kind`, its target imported.

    Raises UnknownNameError, with the nearest name or kind; RegistrationError when two distributions offer it, or one
    does and the decorator registered something else; PluginError when it cannot be imported or is none.
    """
    check_kind(kind)
    check_name(kind, name)
    offered = [entry for entry in allowed_entries(GROUP) if entry.name == f"{kind}.{name}"]
    if len(offered) > 1:
        raise RegistrationError(_doubled(f"{kind}.{name}", offered))
    decorated = _decorated.get((kind, name))
    if not offered and decorated is None:
        raise UnknownNameError(f"unknown {kind} {name!r}{suggest(name, part_names(kind))}")
    if not offered:
        return Part(kind, name, decorated, _identity(decorated))
    found = Part(kind, name, offered[0].load(), _origin(offered[0]))
    if fault := target_fault(kind, found.target):
        raise PluginError(f"{kind} {name!r} ({found.origin}): {fault}")
    if decorated is not None and spec_of(decorated) is not spec_of(found.target):
        raise RegistrationError(f"{kind} {name!r} is offered by {found.origin} and by {_identity(decorated)}")
    return found


def part_troubles(kind: str = "") -> list[str]:
    """What is wrong with what is offered, of one kind or of all: doubled names, and kinds that there are not."""
    offers: dict[str, list[Entry]] = {}
    for entry in allowed_entries(GROUP):
        if kind in ("", entry.name.partition(".")[0]):
            offers.setdefault(entry.name, []).append(entry)
    doubled = [_doubled(name, found) for name, found in offers.items() if len(found) > 1]
    kindless = [
        f"{name} ({_origin(found[0])}) is of no kind of part{suggest(name.partition('.')[0], KINDS)}"
        for name, found in offers.items()
        if not name.partition(".")[2] or name.partition(".")[0] not in KINDS
    ]
    return [*doubled, *kindless]


def _doubled(name: str, offered: list[Entry]) -> str:
    kind, _, name = name.partition(".")
    return f"{kind} {name!r} is offered by {' and by '.join(map(_origin, offered))}; uninstall one"


def get_builder(target: str | type) -> type:
    """The class behind `module:Class`, or the class itself. Raises PluginError when it cannot be imported."""
    if isinstance(target, type):
        return target
    module, _, name = target.partition(":")
    try:
        found = getattr(import_module(module), name)
    except (Exception, SystemExit) as error:
        raise PluginError(f"{target} cannot be imported: {type(error).__name__}: {error}") from error
    if not isinstance(found, type):
        raise PluginError(f"{target} is no class: {short(found)}")
    if getattr(getattr(found, "forward", None), "__qualname__", "").startswith("_forward_unimplemented"):  # torch's own
        raise PluginError(f"{origin_of(target)} has no method `forward`; a part is called with rows")
    return found


def _identity(target: object) -> str:
    return f"{getattr(target, '__module__', '?')}:{getattr(target, '__qualname__', repr(target))}"


def _origin(entry: Entry) -> str:
    return f"{entry.distribution} ({entry.target})"
