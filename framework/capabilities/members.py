"""Whether a model class, or an instance of it, has a member itself or only inherits an interface that declares it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

from triptych.errors import MissingMemberError

Method = TypeVar("Method", bound=Callable[..., Any])

_MARK = "_declared_by_an_interface"
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def declared(method: Method) -> Method:
    """Mark a method that an interface declares and leaves to the model; called as it is, it raises MissingMemberError.

    Below `@classmethod` where there is both.
    """

    @wraps(method)
    def missing(owner: object, *_args: object, **_keywords: object) -> object:
        interface, _, name = method.__qualname__.rpartition(".")
        raise MissingMemberError(f"{class_of(owner).__qualname__} declares {interface}; it has no {name} of its own")

    setattr(missing, _MARK, True)
    return missing  # type: ignore[return-value]


@dataclass(frozen=True)
class Member:
    """A method or an attribute that a capability needs; a method's `parameters` must stand in its signature by name."""

    name: str
    parameters: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.parameters)})" if self.parameters else self.name


def class_of(model: object) -> type:
    """The class of an instance; a class is its own."""
    return model if isinstance(model, type) else type(model)


def written_on(model: object, name: str) -> Iterator[tuple[object, str]]:
    """What each class above, the class itself and last an instance set under `name`, each with who sets it."""
    for base in reversed(class_of(model).__mro__):
        if name in vars(base):
            yield vars(base)[name], base.__qualname__
    if not isinstance(model, type) and name in getattr(model, "__dict__", {}):
        yield vars(model)[name], f"this {type(model).__qualname__}"


def has_member(model: object, member: Member) -> bool:
    """Whether class or instance has it: not None, not only declared by an interface, its parameters by name."""
    found = getattr(model, member.name, None)
    if found is None or hasattr(found, _MARK):
        return False
    return all(names_parameter(found, parameter) for parameter in member.parameters)


def is_promised(model: object, member: Member) -> bool:
    """Whether a class annotates the attribute, which then is for its instances to hold; False for an instance."""
    if not isinstance(model, type) or member.parameters:
        return False
    annotations = (inspect.get_annotations(base).get(member.name) for base in model.__mro__)
    return any(a is not None and "ClassVar" not in str(a) for a in annotations)


def is_declared(model: object, member: Member) -> bool:
    """Whether it is there only as an interface declares it."""
    return hasattr(getattr(model, member.name, None), _MARK)


def names_parameter(function: object, name: str) -> bool:
    """Whether a callable takes the keyword `name` by that name; a catch-all does not count."""
    return any(p.name == name and p.kind in _NAMED for p in parameters_of(function))


def takes_keyword(function: object, name: str) -> bool:
    """Whether a callable can be given the keyword `name`, by that name or in a catch-all."""
    return names_parameter(function, name) or any(p.kind is p.VAR_KEYWORD for p in parameters_of(function))


def parameters_of(function: object) -> list[inspect.Parameter]:
    """The parameters of a callable: none of them for what cannot be called, and where Python cannot tell."""
    if not callable(function):
        return []
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return []
