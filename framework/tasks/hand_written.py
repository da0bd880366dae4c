"""A model class that is written by hand, built for a checkpoint and filled from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod

import torch
from torch import nn

from triptych.capabilities import why_not_run
from triptych.capabilities.construct import construct
from triptych.capabilities.table import CAPABILITIES
from triptych.errors import CapabilityError, OptionError, Problem
from triptych.registry.authors import blaming
from triptych.registry.inspection import inspect_loaded
from triptych.registry.sources import find_distribution
from triptych.runner.memory import free_bytes
from triptych.runner.needs import complete
from triptych.settings import Settings
from triptych.weights import Stored, check_components
from triptych.weights.fill import Progress
from triptych.weights.hand_written import load_tensors, materialise


def load_model(
    model: type,
    tensors: Mapping[str, Stored],
    *,
    settings: Settings,
    device: torch.device,
    dtype: torch.dtype,
    progress: Progress | None = None,
) -> nn.Module:
    """The module of a class, in `dtype` on `device`, with the stored tensors and all that the runner asks of it.

    Beside it memory holds two tensors of the file, the one that is placed and the next. Raises OptionError when memory
    is short, CapabilityError for what is no module or lacks what the runner asks, PluginError, which says where and
    whose it is, for what its constructor and its `load_weights` raise.
    """
    _check_room(model, tensors, device=device, dtype=dtype)
    with _default_dtype(dtype), device, blaming(model, "as it is built"):
        module = construct(model, settings)
    if not isinstance(module, nn.Module):
        raise CapabilityError(f"{model.__qualname__} is no torch.nn.Module; the runner takes no other")
    with blaming(module, "as it is loaded"):
        check_components(module)
        complete(module, settings.config)
        materialise(module, device=device)
        load_tensors(module, tensors, progress=progress)
    return module.eval().requires_grad_(False)


def check_runs(model: type) -> None:
    """Raise CapabilityError with every reason why the runner refuses a class."""
    problems: list[Problem] = []
    try:
        inspect_loaded(model, architecture=model.__name__)
    except CapabilityError as error:
        problems += error.problems
    if why := why_not_run(model):
        problems.append(Problem(why))
    if problems and (distribution := find_distribution(model.__module__)):
        problems.append(Problem(f"{model.__qualname__} comes from {distribution}"))
    if problems:
        raise CapabilityError(problems)


def check_cut(model: type) -> None:
    """Raise CapabilityError for a class that does not run in the stages of a pipeline, with what it lacks."""
    row = CAPABILITIES["supports_pp"]
    lacks = [*([] if row.is_declared(model) else ["supports_pp = True"]), *map(str, row.missing(model))]
    if lacks:
        raise CapabilityError(f"{model.__qualname__} does not run in stages; it lacks {', '.join(lacks)}")


def _check_room(model: type, tensors: Mapping[str, Stored], *, device: torch.device, dtype: torch.dtype) -> None:
    """Raise OptionError when the tensors in that dtype need more memory than is free."""
    needed = sum(prod(stored.shape) for stored in tensors.values()) * dtype.itemsize
    free = free_bytes(device)
    if free is not None and needed > free:
        sizes = f"{needed / 2**30:,.1f} GiB of tensors in {dtype}, and {free / 2**30:,.1f} GiB are free on {device}"
        raise OptionError(f"{model.__qualname__} has {sizes}; a smaller dtype or another device may do")


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """What a constructor that names no dtype makes its parameters of."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
