"""Activations in plain torch: functions of a tensor, each number by itself. Parts register them by name."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


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


def gelu_10(x: Tensor) -> Tensor:
    """gelu, from -10 to 10."""
    return F.gelu(x).clamp(-10, 10)


def mish(x: Tensor) -> Tensor:
    """x tanh(softplus(x)). Misra 2019, arXiv 1908.08681."""
    return F.mish(x)


def linear(x: Tensor) -> Tensor:
    """x itself."""
    return x


def leaky_relu(x: Tensor) -> Tensor:
    """x, or a hundredth of it below nought."""
    return F.leaky_relu(x)


def relu6(x: Tensor) -> Tensor:
    """relu, up to 6."""
    return F.relu6(x)


def relu(x: Tensor) -> Tensor:
    return F.relu(x)


def relu2(x: Tensor) -> Tensor:
    """relu(x) squared."""
    return F.relu(x).square()


def tanh(x: Tensor) -> Tensor:
    return torch.tanh(x)


def sigmoid(x: Tensor) -> Tensor:
    return torch.sigmoid(x)


def softplus(x: Tensor) -> Tensor:
    """log(1 + e^x)."""
    return F.softplus(x)
