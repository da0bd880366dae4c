"""A checkpoint into a model that is written by hand: memory for what has none, then one tensor after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from triptych.errors import CapabilityError, Problem, WeightMapError, short
from triptych.weights.fill import Progress
from triptych.weights.loader import AutoWeightsLoader
from triptych.weights.mapper import Mapper, Target
from triptych.weights.stages import is_pp_missing_parameter
from triptych.weights.stored import Stored


def materialise(module: nn.Module, *, device: torch.device) -> None:
    """Give parameters on the meta device memory on `device`, without values; what was shared stays shared.

    What an author set on a parameter (`weight_loader`) goes with it. Raises CapabilityError for buffers without memory:
    a constructor computes their values, and no file has them.
    """
    lost = [name for name, buffer in module.named_buffers() if buffer.is_meta]
    if lost:
        message = f"buffers were computed on the meta device and have no values: {', '.join(lost)}"
        raise CapabilityError(Problem(message, type(module).__name__))
    made: dict[int, nn.Parameter] = {}
    for owner in module.modules():
        for name, parameter in owner._parameters.items():
            if parameter is not None and parameter.is_meta:
                if id(parameter) not in made:
                    made[id(parameter)] = _with_memory(parameter, device)
                owner._parameters[name] = made[id(parameter)]


def load_tensors(module: nn.Module, stored: Mapping[str, Stored], *, progress: Progress | None = None) -> None:
    """Load every tensor through the module's own `load_weights`, or by name where it has none.

    Tensors are read one at a time, each when it is asked for; those that `is_unused_checkpoint_weight` names are not,
    nor are those of components that are left out.
    Raises WeightMapError for parameters that nothing was loaded to, CapabilityError for a `load_weights` that gives no
    names (parameters that it passes over could hold anything), and what the loader raises.
    """
    own: Callable[[Iterator[tuple[str, Tensor]]], Iterable[str] | None] | None = getattr(module, "load_weights", None)
    weights = _read(module, stored, progress)
    with torch.no_grad():
        loaded = own(weights) if callable(own) else AutoWeightsLoader(module).load_weights(weights)
    name = type(module).__name__
    if isinstance(loaded, str) or not isinstance(loaded, Iterable):
        raise CapabilityError(f"{name}.load_weights gives {short(loaded)}; the names of what it loaded are wanted")
    if missing := _missing(module, {*loaded}):
        raise WeightMapError(Problem(f"{name}.load_weights loaded nothing to it", path) for path in missing)


def _with_memory(parameter: nn.Parameter, device: torch.device) -> nn.Parameter:
    found = nn.Parameter(torch.empty_like(parameter, device=device), requires_grad=False)
    found.__dict__.update(parameter.__dict__)
    return found


def _read(module: nn.Module, stored: Mapping[str, Stored], progress: Progress | None) -> Iterator[tuple[str, Tensor]]:
    wanted = {name: tensor for name, tensor in stored.items() if _is_wanted(name, module)}
    total, done = sum(tensor.nbytes for tensor in wanted.values()), 0
    for name, tensor in wanted.items():
        yield name, tensor.read()
        done += tensor.nbytes
        if progress:
            progress(done, total)


def _is_wanted(name: str, module: nn.Module) -> bool:
    """Whether the model has use for a tensor: not when it says so, and not below a component that is left out.

    Where that is can be told before it is read if the class names its mapper, `hf_to_triptych_mapper`, or needs none.
    """
    unused: Callable[[str], bool] = getattr(module, "is_unused_checkpoint_weight", lambda _: False)
    mapper: Mapper | None = getattr(module, "hf_to_triptych_mapper", None)
    places = (Target(name),) if mapper is None else mapper.targets(name)
    return not unused(name) and not all(is_pp_missing_parameter(place.name, module) for place in places)


def _missing(module: nn.Module, loaded: set[str]) -> list[str]:
    """The first name of each parameter none of whose names were loaded."""
    names: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return [of[0] for of in names.values() if loaded.isdisjoint(of)]
