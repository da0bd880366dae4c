"""Embeddings that every layer has its own of, as Gemma 3n and Gemma 4 have them."""
# T tokens, D width, L layers, P numbers for each layer

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from triptych.parts.activations import get_activation
from triptych.parts.embed import Lookup, Tokens
from triptych.parts.parameters import Linear, Part
from triptych.parts.per_layer_spec import PerLayerGateSpec, PerLayerTokensSpec
from triptych.parts.step import Step

LEFT = "inputs of layers"  # what these rows are called in a step


class PerLayerTokens(Tokens):
    """Tokens, whose look-up gives rows [T, D + L P]: what enters the model, and beside it what is of each layer."""

    Spec: ClassVar[type[PerLayerTokensSpec]] = PerLayerTokensSpec

    def __init__(self, spec: PerLayerTokensSpec, *, width: int) -> None:
        super().__init__(spec, width=width)
        of = spec.layers
        self.width, self.layers, self.inputs, self.input_scale, self.size = width, of.count, of.rows, of.scale, of.size
        if not of.size:
            return
        self.per_layer = Lookup(of.rows, of.count * of.size)
        self.projection = Linear(width, of.count * of.size, bias=False)
        self.input_norm: nn.Module = of.norm.build(width=of.size)

    def lookup(self, ids_T: Tensor) -> Tensor:
        """Ids [T] -> rows [T, D + L P]."""
        if not self.size:
            return super().lookup(ids_T)
        own = self.per_layer(torch.where(ids_T < self.inputs, ids_T, 0))
        return torch.cat((super().lookup(ids_T), own * own.new_full((), self.input_scale)), -1)

    def leave(self, x: Tensor, step: Step) -> Tensor:
        """Rows of a look-up -> rows [T, D]; what is of the layers [T, L, P] is left for them in the step."""
        if not self.size:
            return x
        x_TD, own = x.tensor_split((self.width,), -1)
        projected_TLP = (self.projection(x_TD) * self.width**-0.5).unflatten(-1, (self.layers, -1))
        step.left[LEFT] = (self.input_norm(projected_TLP) + own.view_as(projected_TLP)) * 2**-0.5
        return x_TD


class PerLayerGate(Part):
    """out(act(gate(x)) * rows that the embedding left for this layer)."""

    Spec = PerLayerGateSpec
    cache_need = None

    def __init__(self, spec: PerLayerGateSpec, *, width: int, key: str) -> None:
        super().__init__()
        self.key, self.layer, self.activation = key, spec.layer, get_activation(spec.activation)
        self.gate = Linear(width, spec.size, bias=False)
        self.out = Linear(spec.size, width, bias=False)

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        own = self._modules
        y: Tensor = own["out"](self.activation(own["gate"](x_TD)) * step.left[LEFT][:, self.layer])
        return y
