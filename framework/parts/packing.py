"""Weights of a model that is run and not trained, laid out for the processor that runs it."""

from __future__ import annotations

from torch import nn

from triptych.kernels.linear.packed import PackedWeight, pays
from triptych.parts.head import Head
from triptych.parts.parameters import Linear


def pack(module: nn.Module) -> None:
    """Lay out the matrices of its linear layers in blocks, where that is faster; no more memory is used.

    A matrix that anything else has too stays as it is.
    """
    layers = [each for each in module.modules() if isinstance(each, Linear | Head)]
    seen: list[int] = [id(own) for each in module.modules() for own in each._parameters.values() if own is not None]
    for layer in layers:
        weight = layer.weight
        if weight is not None and seen.count(id(weight)) == 1 and pays(weight):
            layer.weight = PackedWeight(weight)
