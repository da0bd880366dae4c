"""Transformer blocks that several layers share, as Zamba 2 has them. Glorioso et al. 2024, arXiv 2411.15242."""
# T tokens, D width, H heads, G key/value heads, K head width

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from triptych.contrib_models.zamba2_spec import (
    AdaptersSpec,
    SharedAttentionSpec,
    SharedBlockSpec,
    SharedBlocksSpec,
    SharedMlpSpec,
    SharedThenMixerSpec,
)
from triptych.kernels.attention import attention
from triptych.kernels.gated import gated
from triptych.parts.activations import get_activation
from triptych.parts.cache_needs import Rows
from triptych.parts.embed import Tokens
from triptych.parts.parameters import Linear, Part
from triptych.parts.step import Step

LEFT = "shared blocks"  # what these are called in a step


@dataclass(frozen=True)
class Uses:
    """The blocks by the layer that uses them, which use of any that is, and the rows that entered the model."""

    blocks: dict[int, tuple[nn.Module, int]]
    entered_TD: Tensor


class SharedBlocks(Tokens):
    """Tokens with blocks for the layers; a block goes by the first layer that uses it, as on disk."""

    Spec = SharedBlocksSpec

    def __init__(self, spec: SharedBlocksSpec, *, width: int) -> None:
        super().__init__(spec, width=width)
        self.users = [layer for layer in spec.users if layer < spec.layers]
        uses = {str(first): range(n, len(self.users), spec.blocks) for n, first in enumerate(self.users[: spec.blocks])}
        self.block = nn.ModuleDict({first: spec.block.build(uses=used, width=width) for first, used in uses.items()})

    def leave(self, x_TD: Tensor, step: Step) -> Tensor:
        """Rows that enter the model, which are left in the step for the blocks with these."""
        blocks = list(self.block.values())
        found = {layer: (blocks[n % len(blocks)], n) for n, layer in enumerate(self.users)}
        step.left[LEFT] = Uses(found, x_TD)
        return x_TD


class SharedBlock(Part):
    """mlp(norm(attend(norm([x, rows that entered the model])))), with a little that each use has of its own."""

    def __init__(self, spec: SharedBlockSpec, *, uses: Iterable[int], width: int) -> None:
        super().__init__()
        self.norm: nn.Module = spec.norm.build(width=2 * width)
        self.attention: SharedAttention = spec.attention.build(width=width)
        self.mlp_norm: nn.Module = spec.norm.build(width=width)
        self.mlp: nn.Module = spec.mlp.build(width=width)
        sizes: dict[str, Any] = {"width": width, "pieces": self.attention.pieces, "hidden": spec.mlp.hidden}
        self.adapters = nn.ModuleDict({str(n): spec.adapters.build(**sizes) for n in uses})

    def forward(self, x_TD: Tensor, uses: Uses, step: Step, *, key: str, use: int) -> Tensor:
        own, adapters = self._modules, self.adapters[str(use)]
        x = own["norm"](torch.cat((x_TD, uses.entered_TD), -1))
        y_TD = own["mlp_norm"](own["attention"](x, adapters(x, "q", "k", "v"), step, key=key))
        z_TD: Tensor = own["mlp"](y_TD, adapters(y_TD, "gate_up"))
        return z_TD


class SharedAttention(Part):
    """Grouped-query attention of rows of twice the width; keys and values are kept under the key of who asks."""

    def __init__(self, spec: SharedAttentionSpec, *, width: int) -> None:
        super().__init__()
        self.heads, self.kv_heads, K = spec.heads, spec.kv_heads, spec.head_dim
        self.pieces, self.scale = (self.heads * K, self.kv_heads * K, self.kv_heads * K), (K / 2) ** -0.5
        self.qkv = Linear(2 * width, sum(self.pieces), bias=False, pieces=self.pieces)
        self.out = Linear(self.pieces[0], width, bias=False)
        self.position: nn.Module | None = spec.position.build(head_dim=K) if spec.position else None

    def forward(self, x: Tensor, more: Tensor | None, step: Step, *, key: str) -> Tensor:
        """Of rows [T, 2D]: [T, D]; with what is `more` of queries, keys and values."""
        own, H, G = self._modules, self.heads, self.kv_heads
        qkv = own["qkv"](x)
        qkv = qkv if more is None else qkv + more
        qk, v_TGK = qkv.view(len(qkv), H + 2 * G, -1).split_with_sizes((H + G, G), 1)
        if "position" in own:
            qk = own["position"](qk, step)
        q_THK, k_TGK = qk.split_with_sizes((H, G), 1)
        kept = step.store(key, k_TGK, v_TGK)
        y_THK = attention(q_THK, k_TGK, v_TGK, spans=step.spans, kept=kept, scale=self.scale)
        y_TD: Tensor = own["out"](y_THK.flatten(1))
        return y_TD


class SharedMlp(Part):
    """down(act(gate) * up), with what is more of gate and up."""

    def __init__(self, spec: SharedMlpSpec, *, width: int) -> None:
        super().__init__()
        self.activation = get_activation(spec.activation)
        self.gate_up = Linear(width, 2 * spec.hidden, bias=spec.bias)
        self.down = Linear(spec.hidden, width, bias=spec.bias)

    def forward(self, x_TD: Tensor, more: Tensor) -> Tensor:
        own = self._modules
        y_TD: Tensor = own["down"](gated(own["gate_up"](x_TD) + more, self.activation, None))
        return y_TD


class Adapters(Part):
    """What one use of a block adds to its matrices."""

    def __init__(self, spec: AdaptersSpec, *, width: int, pieces: tuple[int, ...], hidden: int) -> None:
        super().__init__()
        self.gate_up = Adapter(width, spec.rank, 2 * hidden)
        for name, piece in zip(("q", "k", "v"), pieces if spec.attention else (), strict=False):
            self.add_module(name, Adapter(2 * width, spec.rank, piece))

    def forward(self, x: Tensor, *names: str) -> Tensor | None:
        """What is added to products of rows with the matrices of these names, side by side; None if nothing is."""
        given = [self._modules[name](x) for name in names if name in self._modules]
        return torch.cat(given, -1) if len(given) > 1 else given[0] if given else None


class Adapter(Part):
    """A matrix of low rank: outer(inner(x))."""

    def __init__(self, width_in: int, rank: int, width_out: int) -> None:
        super().__init__()
        self.inner, self.outer = Linear(width_in, rank, bias=False), Linear(rank, width_out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self._modules["outer"](self._modules["inner"](x))
        return y


class SharedThenMixer(Part):
    """mixer(norm(x + linear(shared block(x)))); keys and values are the layer's own, whoever else uses the block."""

    Spec = SharedThenMixerSpec

    def __init__(self, spec: SharedThenMixerSpec, *, width: int, key: str) -> None:
        super().__init__()
        self.key, self.layer = key, spec.layer
        self.cache_need = Rows(spec.kv_heads, (spec.head_dim, spec.head_dim))
        self.linear = Linear(width, width, bias=False)
        self.norm: nn.Module = spec.norm.build(width=width)
        self.mixer: nn.Module = spec.mixer.build(width=width, key=f"{key}.mixer")

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        own, uses = self._modules, step.left[LEFT]
        block, use = uses.blocks[self.layer]
        more_TD = own["linear"](block(x_TD, uses, step, key=self.key, use=use))
        y_TD: Tensor = own["mixer"](own["norm"](x_TD + more_TD), step)
        return y_TD
