"""Layers that work on one of several streams of rows and foretell the others, as Gemma 3n has them.

AltUp: Baykal et al. 2023, arXiv 2301.13310. LAuReL, the matrix of low rank: Menghani et al. 2024, arXiv 2411.07501.
"""
# S streams, T tokens, D width

from __future__ import annotations

from statistics import NormalDist

import torch
from torch import Tensor, nn

from triptych.contrib_models.gemma3n_spec import AltUpSpec, SparseMlpSpec, StreamsMeanSpec, StreamTokensSpec
from triptych.parts.activations import get_activation
from triptych.parts.parameters import Linear, Part, parameter
from triptych.parts.per_layer import PerLayerTokens
from triptych.parts.step import Step

STREAMS = "streams"  # what these are called in a step
LEAST = 1e-5  # of a mean square that is divided by


def _as_large(x_STD: Tensor, like_TD: Tensor) -> Tensor:
    """Rows with the root mean square of others."""
    wanted = like_TD.square().mean(-1, keepdim=True).sqrt()
    return x_STD * wanted / x_STD.square().mean(-1, keepdim=True).clamp(min=LEAST).sqrt()


class StreamTokens(PerLayerTokens):
    """Tokens with inputs of layers; the other streams are left in the step."""

    Spec = StreamTokensSpec

    def __init__(self, spec: StreamTokensSpec, *, width: int) -> None:
        super().__init__(spec, width=width)
        self.streams = parameter(spec.streams - 1, width, width)
        self.stacked = {"streams": (width,)}

    def leave(self, x: Tensor, step: Step) -> Tensor:
        x_TD = super().leave(x, step)
        step.left[STREAMS] = torch.cat((x_TD[None], _as_large(x_TD @ self.streams.transpose(1, 2), x_TD)))
        return x_TD


class AltUp(Part):
    """Foretell all streams, work on one, correct all by what it differs from what was foretold."""

    Spec = AltUpSpec
    cache_need = None

    def __init__(self, spec: AltUpSpec, *, width: int, key: str) -> None:
        super().__init__()
        self.key, self.spec, S = key, spec, spec.streams
        self.route, self.foretell, self.correct = (
            Linear(inner, out, bias=False) for inner, out in ((width, S), (S, S * S), (S, S))
        )
        self.route_norm: nn.Module = spec.norm.build(width=width)
        self.factor = parameter(width)  # which files have, whether it is applied or not
        self.low_in, self.low_out = Linear(width, spec.rank, bias=False), Linear(spec.rank, width, bias=False)
        self.attention: nn.Module = spec.attention.build(width=width, key=f"{key}.attention")
        self.mlp: nn.Module = spec.mlp.build(width=width, key=f"{key}.mlp")
        self.gate: nn.Module = spec.gate.build(width=width, key=f"{key}.gate")
        for name in ("low", "attention", "mlp", "gate"):
            self.add_module(f"{name}_post_norm", spec.norm.build(width=width))
        for name in ("attention", "mlp"):
            self.add_module(f"{name}_norm", spec.norm.build(width=width))

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:  # noqa: ARG002  (it is the active one of the streams)
        own, active = self._modules, self.spec.active
        foretold_STD = self._foretold(step.left[STREAMS])
        y_TD = self._worked(foretold_STD[active], step)
        shares_TS = own["correct"](self._routed(y_TD)) + 1.0
        found_STD = foretold_STD + (y_TD - foretold_STD[active]) * shares_TS.T[..., None]
        z_TD = found_STD[active] * self.factor if self.spec.scaled else found_STD[active]
        z_TD = own["gate_post_norm"](own["gate"](z_TD, step))
        found_STD = step.left[STREAMS] = torch.cat((found_STD[:1], found_STD[1:] + z_TD))
        return found_STD[active]

    def _routed(self, x_TD: Tensor) -> Tensor:
        own = self._modules
        return torch.tanh(own["route"](own["route_norm"](x_TD) / x_TD.shape[-1]).float()).to(x_TD.dtype)

    def _foretold(self, x_STD: Tensor) -> Tensor:
        """Each stream as it is, plus a sum over all of them."""
        shares = self._modules["foretell"](self._routed(x_STD[self.spec.active]))
        return x_STD + torch.einsum("std,trs->rtd", x_STD, shares.unflatten(-1, (self.spec.streams,) * 2))

    def _worked(self, x_TD: Tensor, step: Step) -> Tensor:
        """Attention beside the matrix of low rank, then the MLP."""
        own = self._modules
        normed = own["attention_norm"](x_TD)
        low = normed + own["low_post_norm"](own["low_out"](own["low_in"](normed)))
        y_TD: Tensor = (x_TD + own["attention_post_norm"](own["attention"](normed, step)) + low) * 2**-0.5
        z_TD: Tensor = own["mlp_post_norm"](own["mlp"](own["mlp_norm"](y_TD), step))
        return y_TD + z_TD


class StreamsMean(Part):
    """The mean of the first stream and of what matrices make of the others, as large as it."""

    Spec = StreamsMeanSpec
    cache_need = None

    def __init__(self, spec: StreamsMeanSpec, *, width: int, key: str) -> None:
        super().__init__()
        self.key = key
        self.streams = parameter(spec.streams - 1, width, width)
        self.stacked = {"streams": (width,)}

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:  # noqa: ARG002  (it is one of the streams)
        first_TD, others_STD = step.left[STREAMS][0], step.left[STREAMS][1:]
        return torch.cat((first_TD[None], _as_large(others_STD @ self.streams.transpose(1, 2), first_TD))).mean(0)


class SparseMlp(Part):
    """down(act(relu(gate - cut)) * up), where the cut is as many deviations above the mean as leave so few gates."""

    Spec = SparseMlpSpec
    cache_need = None

    def __init__(self, spec: SparseMlpSpec, *, width: int, key: str) -> None:
        super().__init__()
        self.key, self.activation = key, get_activation(spec.activation)
        self.deviations = NormalDist().inv_cdf(spec.sparsity)
        self.gate_up = Linear(width, 2 * spec.hidden, bias=False, pieces=(spec.hidden, spec.hidden))
        self.down = Linear(spec.hidden, width, bias=False)

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:  # noqa: ARG002  (every mixer is given the step)
        gate, up = self._modules["gate_up"](x_TD).chunk(2, -1)
        cut = gate.mean(-1, keepdim=True) + self.deviations * gate.std(-1, keepdim=True, unbiased=False)
        y: Tensor = self._modules["down"](self.activation(torch.relu(gate - cut)) * up)
        return y
