"""The activations of `kernels/activations.py` inside kernels, on numbers in float32, and how steep they are."""

from __future__ import annotations

from collections.abc import Callable

import triton
import triton.language as tl
from torch import Tensor

from triptych.kernels import activations

NAMES: dict[Callable[[Tensor], Tensor], str] = {
    activations.silu: "silu",
    activations.gelu: "gelu",
    activations.gelu_tanh: "gelu_tanh",
    activations.quick_gelu: "quick_gelu",
    activations.gelu_10: "gelu_10",
    activations.mish: "mish",
    activations.linear: "linear",
    activations.leaky_relu: "leaky_relu",
    activations.relu6: "relu6",
    activations.relu: "relu",
    activations.relu2: "relu2",
    activations.tanh: "tanh",
    activations.sigmoid: "sigmoid",
    activations.softplus: "softplus",
}


@triton.jit
def activated(x, NAME: tl.constexpr):  # noqa: PLR0912  (one of them is compiled)
    if NAME == "silu":
        y = x * sigmoid(x)
    elif NAME == "gelu" or NAME == "gelu_10":  # noqa: PLR1714  (Triton compares names one by one)
        y = x * _normal(x)
        if NAME == "gelu_10":
            y = tl.minimum(y, 10.0)  # nothing is below -10
    elif NAME == "gelu_tanh":
        y = x * sigmoid(2 * _cubic(x))  # (1 + tanh u) / 2 = sigmoid(2u)
    elif NAME == "quick_gelu":
        y = x * sigmoid(1.702 * x)
    elif NAME == "mish":
        y = x * _tanh_of_softplus(x)
    elif NAME == "linear":
        y = x
    elif NAME == "leaky_relu":
        y = tl.where(x > 0, x, 0.01 * x)
    elif NAME == "relu6":
        y = tl.minimum(tl.maximum(x, 0.0), 6.0)
    elif NAME == "relu":
        y = tl.maximum(x, 0.0)
    elif NAME == "relu2":
        y = tl.maximum(x, 0.0) * tl.maximum(x, 0.0)
    elif NAME == "tanh":
        y = _tanh(x)
    elif NAME == "sigmoid":
        y = sigmoid(x)
    else:
        tl.static_assert(NAME == "softplus")
        y = tl.maximum(x, 0.0) + tl.log(1 + tl.exp(-tl.abs(x)))
    return y


@triton.jit
def slope(x, NAME: tl.constexpr):  # noqa: PLR0912  (one of them is compiled)
    """The derivative of `activated`."""
    if NAME == "silu":
        s = sigmoid(x)
        d = s * (1 + x * (1 - s))
    elif NAME == "gelu" or NAME == "gelu_10":  # noqa: PLR1714  (Triton compares names one by one)
        p = _normal(x)
        d = p + x * 0.3989422804014327 * tl.exp(-0.5 * x * x)
        if NAME == "gelu_10":
            d = tl.where(x * p <= 10, d, 0.0)
    elif NAME == "gelu_tanh":
        s = sigmoid(2 * _cubic(x))
        d = s + x * s * (1 - s) * 2 * 0.7978845608028654 * (1 + 3 * 0.044715 * x * x)
    elif NAME == "quick_gelu":
        s = sigmoid(1.702 * x)
        d = s * (1 + 1.702 * x * (1 - s))
    elif NAME == "mish":
        t = _tanh_of_softplus(x)
        d = t + x * (1 - t * t) * sigmoid(x)
    elif NAME == "linear":
        d = tl.full(x.shape, 1.0, tl.float32)
    elif NAME == "leaky_relu":
        d = tl.where(x > 0, 1.0, 0.01)
    elif NAME == "relu6":
        d = tl.where((x > 0) & (x < 6), 1.0, 0.0)
    elif NAME == "relu":
        d = tl.where(x > 0, 1.0, 0.0)
    elif NAME == "relu2":
        d = 2 * tl.maximum(x, 0.0)
    elif NAME == "tanh":
        t = _tanh(x)
        d = 1 - t * t
    elif NAME == "sigmoid":
        s = sigmoid(x)
        d = s * (1 - s)
    else:
        tl.static_assert(NAME == "softplus")
        d = sigmoid(x)
    return d


@triton.jit
def sigmoid(x):
    """Through e^-|x|, which does not pass what there is."""
    e = tl.exp(-tl.abs(x))
    return tl.where(x < 0, e, 1.0) / (1 + e)


@triton.jit
def _normal(x):
    """The distribution function of the normal distribution."""
    return 0.5 * (1 + tl.erf(0.7071067811865476 * x))


@triton.jit
def _cubic(x):
    """What gelu_tanh is a tanh of: sqrt(2 / pi) (x + 0.044715 x^3)."""
    return 0.7978845608028654 * (x + 0.044715 * x * x * x)


@triton.jit
def _tanh(x):
    """Through e^(-2|x|), which does not pass what there is; by its series where that would cancel."""
    e = tl.exp(-2 * tl.abs(x))
    far = tl.where(x < 0, -1.0, 1.0) * (1 - e) / (1 + e)
    square = x * x
    return tl.where(square < 0.01, x * (1 - square * (1 / 3 - square * (2 / 15 - square * 17 / 315))), far)


@triton.jit
def _tanh_of_softplus(x):
    """With e = e^x it is (e^2 + 2e) / (e^2 + 2e + 2), and one long before e^2 passes what there is."""
    e = tl.exp(tl.minimum(x, 20.0))
    n = e * (e + 2)
    return n / (n + 2)
