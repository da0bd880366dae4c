"""What a spec names beside its parts: processors, dummy inputs, schemas and ways to transcribe.

An entry `acme = "package.module:Target"` of the group `triptych.processors`, `triptych.dummy_inputs`,
`triptych.schemas` or `triptych.transcriptions` offers one to every process; the decorators `@processor`,
`@dummy_inputs`, `@schema` and `@transcription` add one to this process alone. Nothing is imported before it is asked
for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

from triptych.errors import PluginError, RegistrationError, RegistrationTypeError, UnknownNameError, short, suggest
from triptych.registry.allow_list import VARIABLE, allowed_entries, left_out
from triptych.registry.entries import Entry
from triptych.registry.sources import origin_of
from triptych.schemas import TaggedUnion, TensorSchema

Kind = Literal["processor", "dummy_inputs", "schema", "transcription"]
Schema = type[TensorSchema] | TaggedUnion[Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Sort:
    """One kind of thing that is had by name: where distributions offer it, how messages call it, what may be one."""

    group: str
    word: str
    wanted: str
    is_one: Callable[[object], bool]


def _is_schema(target: object) -> bool:
    return isinstance(target, TaggedUnion) or (isinstance(target, type) and issubclass(target, TensorSchema))


SORTS: dict[Kind, Sort] = {
    "processor": Sort("triptych.processors", "processor", "a class or a function", callable),
    "dummy_inputs": Sort("triptych.dummy_inputs", "dummy inputs", "a class or a function", callable),
    "schema": Sort("triptych.schemas", "schema", "a TensorSchema class or a tagged union of them", _is_schema),
    "transcription": Sort("triptych.transcriptions", "transcription", "a class", lambda it: isinstance(it, type)),
}
_decorated: dict[tuple[Kind, str], object] = {}


def processor(name: str) -> Callable[[T], T]:
    """Register the decorated class or function as the processor of that name.

    Raises RegistrationError when another object has the name, RegistrationTypeError for what can be no processor.
    """
    return _registering("processor", name)


def dummy_inputs(name: str) -> Callable[[T], T]:
    """Register the decorated class or function as the dummy inputs of that name. Raises as `processor` does."""
    return _registering("dummy_inputs", name)


def schema(name: str) -> Callable[[T], T]:
    """Register the decorated TensorSchema, or a tagged union of some, under that name. Raises as `processor` does."""
    return _registering("schema", name)


def transcription(name: str) -> Callable[[T], T]:
    """Register the decorated class as the way to transcribe of that name. Raises as `processor` does."""
    return _registering("transcription", name)


def get_processor(name: str) -> Callable[..., object]:
    """The processor of that name, imported.

    Raises UnknownNameError, with the nearest name; RegistrationError when two distributions offer it, or when what is
    offered and what is decorated do not agree; PluginError when it cannot be imported or is none.
    """
    return cast("Callable[..., object]", get_named("processor", name))


def get_dummy_inputs(name: str) -> Callable[..., object]:
    """The dummy inputs of that name, imported. Raises as `get_processor` does."""
    return cast("Callable[..., object]", get_named("dummy_inputs", name))


def get_schema(name: str) -> Schema:
    """The schema of that name, imported. Raises as `get_processor` does."""
    return cast("Schema", get_named("schema", name))


def get_transcription(name: str) -> type:
    """The class of that name that says how a model is asked to transcribe. Raises as `get_processor` does."""
    return cast("type", get_named("transcription", name))


def processor_names() -> list[str]:
    """The names of processors; imports nothing."""
    return names_of("processor")


def dummy_inputs_names() -> list[str]:
    """The names of dummy inputs; imports nothing."""
    return names_of("dummy_inputs")


def schema_names() -> list[str]:
    """The names of schemas; imports nothing."""
    return names_of("schema")


def transcription_names() -> list[str]:
    """The names of ways to transcribe; imports nothing."""
    return names_of("transcription")


def names_of(kind: Kind) -> list[str]:
    """The names registered as `kind`; imports nothing."""
    offered = {entry.name for entry in allowed_entries(SORTS[kind].group)}
    return sorted(offered | {name for k, name in _decorated if k == kind})


def check_name(kind: Kind, name: str) -> None:
    """Raise as `get_processor` does, as far as that can be told without importing anything."""
    _offer(kind, name)


def get_named(kind: Kind, name: str) -> object:
    """What is registered as `kind` under that name, imported. Raises as `get_processor` does."""
    entry, decorated = _offer(kind, name), _decorated.get((kind, name))
    if entry is None:
        return decorated
    found = entry.load()
    if not SORTS[kind].is_one(found):
        raise PluginError(
            f"{_offered(kind, name)} by {_origin(entry)}: {SORTS[kind].wanted} is wanted, not {short(found)}"
        )
    _check_agreement(kind, entry, found)
    return found


def named_troubles(*kinds: Kind) -> list[str]:
    """What is wrong with what is offered, of these kinds or of all: names that two claim. Imports nothing."""
    return [
        _doubled(kind, name, offered)
        for kind in kinds or SORTS
        for name in names_of(kind)
        if len(offered := _entries(kind, name)) > 1
    ]


def _registering(kind: Kind, name: str) -> Callable[[T], T]:
    sort = SORTS[kind]
    if not isinstance(name, str):
        raise RegistrationTypeError(f"the name of a {sort.word} is a str, not {short(name)}")
    if not name:
        raise RegistrationError(f"the name of a {sort.word} is empty")

    def register(target: T) -> T:
        if not sort.is_one(target):
            raise RegistrationTypeError(f"{sort.word} {name!r}: {sort.wanted} is wanted, not {short(target)}")
        other = _decorated.get((kind, name))
        if other is not None and not _is_same(other, target):
            raise RegistrationError(
                f"{sort.word} {name!r} is {_decorated_in(other)} already, and {_decorated_in(target)} asks for the name"
            )
        _decorated[kind, name] = target
        return target

    return register


def _offer(kind: Kind, name: str) -> Entry | None:
    """The one entry that offers a name; None where only a decorator does."""
    offered = _entries(kind, name)
    if len(offered) > 1:
        raise RegistrationError(_doubled(kind, name, offered))
    if not offered and (kind, name) not in _decorated:
        raise UnknownNameError(
            f"unknown {SORTS[kind].word} {name!r}{suggest(name, names_of(kind))}{_kept_out(kind, name)}"
        )
    return offered[0] if offered else None


def _entries(kind: Kind, name: str) -> list[Entry]:
    return [entry for entry in allowed_entries(SORTS[kind].group) if entry.name == name]


def _check_agreement(kind: Kind, entry: Entry, found: object) -> None:
    """The name holds one object, and an object that decorators register is so under the entry's kind and name too."""
    held = _decorated.get((kind, entry.name), found)
    if not _is_same(held, found):
        raise RegistrationError(f"{_offered(kind, entry.name)} by {_origin(entry)} and by {_decorated_in(held)}")
    own = [f"{SORTS[k].word} {name!r}" for (k, name), target in _decorated.items() if target is found]
    if own and (kind, entry.name) not in _decorated:
        where = f"{_offered(kind, entry.name)} by {_origin(entry)}"
        raise RegistrationError(
            f"{where}, which its decorator calls {' and '.join(own)}; both say one kind and one name"
        )


def _is_same(one: object, other: object) -> bool:
    """One object, or one name in one module, which may be read twice; what a function makes has no such name."""
    name = _name(one)
    return one is other or (name == _name(other) and not set(name) & set("<?"))


def _name(target: object) -> str:
    return f"{getattr(target, '__module__', '?')}:{getattr(target, '__qualname__', '?')}"


def _decorated_in(target: object) -> str:
    return short(target) if "?" in _name(target) else origin_of(_name(target))


def _origin(entry: Entry) -> str:
    return f"{entry.distribution} ({entry.target})"


def _offered(kind: Kind, name: str) -> str:
    return f"{SORTS[kind].word} {name!r} is offered"


def _doubled(kind: Kind, name: str, offered: list[Entry]) -> str:
    return f"{_offered(kind, name)} by {' and by '.join(map(_origin, offered))}; uninstall one"


def _kept_out(kind: Kind, name: str) -> str:
    out = sorted(entry.distribution for entry in left_out(SORTS[kind].group) if entry.name == name)
    return f" ({VARIABLE} keeps out {', '.join(out)}, which offers it)" if out else ""
