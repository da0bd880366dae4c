"""Activations: functions of a tensor, each number by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import Tensor

from triptych.kernels.activations import (
    gelu,
    gelu_10,
    gelu_tanh,
    leaky_relu,
    linear,
    mish,
    quick_gelu,
    relu,
    relu2,
    relu6,
    sigmoid,
    silu,
    softplus,
    tanh,
)
from triptych.registry import get_part

__all__ = [
    "gelu",
    "gelu_10",
    "gelu_tanh",
    "get_activation",
    "leaky_relu",
    "linear",
    "mish",
    "quick_gelu",
    "relu",
    "relu2",
    "relu6",
    "sigmoid",
    "silu",
    "softplus",
    "tanh",
]


def get_activation(name: str) -> Callable[[Tensor], Tensor]:
    """The activation registered as `name`; of one with parameters, a module of its own. Raises UnknownNameError."""
    found = get_part("activation", name).target
    return cast("Callable[[Tensor], Tensor]", found().build() if isinstance(found, type) else found)
