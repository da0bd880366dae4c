"""Watching a constructor: which modules it makes in a context, and a placeholder for those that are left out.

Nothing outside the context is touched, in this thread or another.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook

from triptych.capabilities.marking import Targets
from triptych.errors import CapabilityError
from triptych.weights.stages import StageMissingLayer, leave_out, walk


class _LeftOut(threading.local):
    """The types of modules that contexts of this thread leave out, and under which stage name."""

    def __init__(self) -> None:
        self.rules: list[tuple[Targets, str]] = []


_left_out = _LeftOut()


def _replaced(_: nn.Module, __: str, child: nn.Module | None) -> nn.Module | None:
    """What is registered in place of a child; None for the child itself."""
    for targets, stage_name in _left_out.rules:
        if isinstance(child, targets):
            return StageMissingLayer(stage_name, child.to("meta"))
    return None


# The hooks are the process's. This one stays and does nothing where no context is open: to add and remove it with each
# context would change the dict of hooks while another thread, building a model of its own, goes through it.
register_module_module_registration_hook(_replaced)  # type: ignore[arg-type]  # may return a module, as its text says


@contextmanager
def marked(
    model: nn.Module, stage_name: str, *, targets: Targets | None = None, left_out: bool = False
) -> Iterator[list[str]]:
    """Names of the children of `model` assigned in the context, or of all modules of `targets` below it; at its end.

    With `left_out` a `StageMissingLayer` of that stage name takes their places, and they keep no memory: children are
    built on meta, a module of `targets` gives its memory back as soon as it is assigned to anything.
    """
    if "_modules" not in vars(model):
        raise CapabilityError(f"{type(model).__qualname__}: super().__init__() comes before anything is marked")
    names: list[str] = []
    before = dict(model._modules)
    with _without_memory(targets, stage_name) if left_out else nullcontext():
        yield names
    names += _assigned(model, before) if targets is None else _below(model, targets)
    if left_out:
        for name in names:
            leave_out(model, name, stage_name)


def _without_memory(targets: Targets | None, stage_name: str) -> AbstractContextManager[object]:
    return torch.device("meta") if targets is None else _giving_back(targets, stage_name)


@contextmanager
def _giving_back(targets: Targets, stage_name: str) -> Iterator[None]:
    rule = (targets, stage_name)
    _left_out.rules.append(rule)
    try:
        yield
    finally:
        _left_out.rules.remove(rule)


def _assigned(model: nn.Module, before: dict[str, nn.Module | None]) -> list[str]:
    children = model._modules.items()
    return [name for name, child in children if child is not None and child is not before.get(name)]


def _below(model: nn.Module, targets: Targets) -> list[str]:
    return [path for path, module in walk(model) if isinstance(module, targets)]
