"""What prepares the inputs of a multimodal model class: its processor, and the info and dummy inputs beside it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from triptych.errors import CapabilityError, Problem, RegistrationError, TriptychWarning, short

C = TypeVar("C", bound=type)
FACTORIES = "_processor_factory"  # the attribute of a model class that holds them


class RegistrationWarning(TriptychWarning):
    """A later registration takes the place of an earlier one."""


@dataclass(frozen=True)
class ProcessorFactories:
    """Three factories: the info is made of a context, dummy inputs of the info, the processor of both."""

    info: Callable[[Any], Any]
    dummy_inputs: Callable[[Any], Any]
    processor: Callable[[Any, Any], Any]

    def build(self, context: object) -> Any:
        """The processor for one checkpoint."""
        info = self.info(context)
        return self.processor(info, self.dummy_inputs(info))


def register_processor(
    processor: Callable[[Any, Any], Any], *, info: Callable[[Any], Any], dummy_inputs: Callable[[Any], Any]
) -> Callable[[C], C]:
    """Decorate a model class with what prepares its inputs; classes below it have the same unless they have their own.

    A second registration on one class warns and takes the place of the first. Raises RegistrationError, naming each,
    when one of the three is missing or cannot be called.
    """
    given = {"processor": processor, "info": info, "dummy_inputs": dummy_inputs}
    if wrong := [Problem(f"is {short(it)}; a class is wanted", name) for name, it in given.items() if not callable(it)]:
        raise RegistrationError(wrong)

    def register(model: C) -> C:
        if FACTORIES in vars(model):
            message = f"{model.__qualname__} has a processor already; {_name(processor)} takes its place"
            warnings.warn(message, RegistrationWarning, stacklevel=2)
        setattr(model, FACTORIES, ProcessorFactories(info, dummy_inputs, processor))
        return model

    return register


def get_factories(model: type) -> ProcessorFactories:
    """The factories of a model class, its own or inherited. Raises CapabilityError for a class without."""
    found = getattr(model, FACTORIES, None)
    if not isinstance(found, ProcessorFactories):
        raise CapabilityError(_missing(model))
    return found


def check_processor(model: type) -> None:
    """Raise CapabilityError for a class that takes items beside text and has nothing that prepares them."""
    if getattr(model, "supports_multimodal", False):
        get_factories(model)


def _missing(model: type) -> str:
    name = model.__qualname__
    cure = "decorate it with @register_processor(processor, info=..., dummy_inputs=...)"
    return f"{name} has no processor that prepares items beside text; {cure}"


def _name(target: object) -> str:
    return getattr(target, "__qualname__", short(target))
