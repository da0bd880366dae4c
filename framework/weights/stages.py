"""A model whose layers are spread over stages, or of which a component is left out: what stands in their places."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import nn

from triptych.arguments import check_arguments
from triptych.capabilities.pipeline import IntermediateTensors
from triptych.errors import StageError
from triptych.settings import WHOLE, Stage


class StageMissingLayer(nn.Module):
    """Stands for a component that is left out. It has no parameters, and calling it raises StageError.

    What else is read from it is read from the component itself, which need not have memory.
    """

    def __init__(self, stage_name: str, module: nn.Module) -> None:
        super().__init__()
        self.stage_name = stage_name
        self.__dict__["absent"] = module  # past nn.Module, for which it would be a child

    def __getattr__(self, name: str) -> Any:
        if (absent := self.__dict__.get("absent")) is None:
            raise AttributeError(name)  # while a copy of it is being made
        return getattr(absent, name)

    def forward(self, *_: object, **__: object) -> Any:
        raise StageError(f"the {self.stage_name} is left out of this model, so nothing can be computed by it")

    def extra_repr(self) -> str:
        return f"stage_name={self.stage_name!r}"


def present(module: nn.Module) -> nn.Module:
    """The module itself, or the one that it stands for."""
    absent: nn.Module | None = module.__dict__.get("absent") if isinstance(module, StageMissingLayer) else None
    return module if absent is None else absent


def walk(module: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Every module below another by each of its names, what is left out and what is in that among them."""
    for name, child in module._modules.items():
        if child is not None:
            here = f"{path}{name}"
            yield here, present(child)
            yield from walk(present(child), f"{here}.")


def leave_out(model: nn.Module, path: str, stage_name: str) -> None:
    """Put a placeholder where a module stands, unless one stands there or above it; what is absent keeps no memory."""
    owner = model
    *above, last = path.split(".")
    for step in above:
        owner = owner.get_submodule(step)
        if isinstance(owner, StageMissingLayer):
            return
    child = owner.get_submodule(last)
    if not isinstance(child, StageMissingLayer):
        setattr(owner, last, StageMissingLayer(stage_name, child.to("meta")))


class PPMissingLayer(nn.Module):
    """Stands for a layer that another stage of the pipeline has: gives back its first argument."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return (*args, *kwargs.values())[0]


Placeholder = StageMissingLayer | PPMissingLayer


class LayerFn(Protocol):
    """Builds one layer."""

    def __call__(self, *, prefix: str) -> nn.Module: ...


def make_layers(n: int, fn: LayerFn, prefix: str, *, stage: Stage = WHOLE) -> tuple[int, int, nn.ModuleList]:
    """The layers of a stage, between placeholders for the others: the first, the one past the last, and all `n`.

    `fn(prefix="<prefix>.<i>")` is called for those of the stage alone.
    """
    check_arguments(n=(n, int), fn=(fn, Callable), prefix=(prefix, str), stage=(stage, Stage))
    here = stage.layers(n)
    layers = (fn(prefix=f"{prefix}.{i}") if i in here else PPMissingLayer() for i in range(n))
    return here.start, here.stop, nn.ModuleList(layers)


def is_pp_missing_parameter(name: str, model: nn.Module) -> bool:
    """Whether a parameter of that name would stand below a placeholder of the model.

    Whole steps are compared: what is missing with layer 1 is not missing with layer 11.
    """
    check_arguments(name=(name, str), model=(model, nn.Module))
    here: nn.Module | None = model
    for step in name.split("."):
        if here is None or isinstance(here, Placeholder):
            break
        here = here._modules.get(step)
    else:
        return False  # the name is that of the module itself
    return here is not None


def make_empty_intermediate_tensors_factory(
    keys: list[str], hidden_size: int
) -> Callable[[int, torch.dtype, torch.device], IntermediateTensors]:
    """A function `(batch_size, dtype, device)` that gives zeros [batch_size, hidden_size] for every key."""
    check_arguments(keys=(keys, Sequence), hidden_size=(hidden_size, int))

    def make_empty_intermediate_tensors(
        batch_size: int, dtype: torch.dtype, device: torch.device
    ) -> IntermediateTensors:
        shape = (batch_size, hidden_size)
        return IntermediateTensors({key: torch.zeros(shape, dtype=dtype, device=device) for key in keys})

    return make_empty_intermediate_tensors
