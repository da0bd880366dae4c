"""Activations: plain functions of a tensor, each number by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.registry import get_part


def get_activation(name: str) -> Callable[[Tensor], Tensor]:
    """The activation registered as `name`. Raises UnknownNameError."""
    return cast("Callable[[Tensor], Tensor]", get_part("activation", name).target)


def silu(x: Tensor) -> Tensor:
    """x sigmoid(x)."""
    return F.silu(x)


def gelu(x: Tensor) -> Tensor:
    """x times the normal distribution function of x. Hendrycks and Gimpel 2016, arXiv 1606.08415."""
    return F.gelu(x)


def gelu_tanh(x: Tensor) -> Tensor:
    """gelu through a tanh, as BERT's and GPT-2's first code had it."""
    return F.gelu(x, approximate="tanh")


def quick_gelu(x: Tensor) -> Tensor:
    """x sigmoid(1.702 x), as CLIP has it."""
    return x * torch.sigmoid(1.702 * x)


def relu(x: Tensor) -> Tensor:
    return F.relu(x)


def relu2(x: Tensor) -> Tensor:
    """relu(x) squared."""
    return F.relu(x).square()


def tanh(x: Tensor) -> Tensor:
    return torch.tanh(x)


def sigmoid(x: Tensor) -> Tensor:
    return torch.sigmoid(x)
