"""Transformer blocks that several layers share, as Zamba 2 has them. Glorioso et al. 2024, arXiv 2411.15242."""
# T tokens, D width, H heads, G key/value heads, K head width

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from triptych.contrib_models.zamba2_spec import SharedBlockSpec, SharedBlocksSpec, SharedThenMixerSpec
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
        self.shared = nn.ModuleDict(
            {
                str(first): SharedBlock(spec.block, range(n, len(self.users), spec.blocks), width=width)
                for n, first in enumerate(self.users[: spec.blocks])
            }
        )

    def leave(self, x_TD: Tensor, step: Step) -> Tensor:
        """Rows that enter the model, which are left in the step for the blocks with these."""
        blocks = list(self.shared.values())
        found = {layer: (blocks[n % len(blocks)], n) for n, layer in enumerate(self.users)}
        step.left[LEFT] = Uses(found, x_TD)
        return x_TD


class SharedBlock(Part):
    """mlp(norm(attend(norm([x, rows that entered the model])))), with a little that each use has of its own."""

    def __init__(self, spec: SharedBlockSpec, uses: Iterable[int], *, width: int) -> None:
        super().__init__()
        seen, mlp = spec.attention, spec.mlp
        self.heads, self.kv_heads, K = seen.heads, seen.kv_heads, seen.head_dim
        self.pieces = (self.heads * K, self.kv_heads * K, self.kv_heads * K)
        self.activation, self.scale = get_activation(mlp.activation), (K / 2) ** -0.5
        self.norm: nn.Module = spec.norm.build(width=2 * width)
        self.qkv = Linear(2 * width, sum(self.pieces), bias=False, pieces=self.pieces)
        self.out = Linear(self.pieces[0], width, bias=False)
        self.position: nn.Module | None = seen.position.build(head_dim=K) if seen.position else None
        self.mlp_norm: nn.Module = spec.norm.build(width=width)
        self.gate_up = Linear(width, 2 * mlp.hidden, bias=mlp.bias)
        self.down = Linear(mlp.hidden, width, bias=mlp.bias)
        self.uses = nn.ModuleDict({str(n): Adapters(spec, self.pieces, width=width) for n in uses})

    def forward(self, x_TD: Tensor, uses: Uses, step: Step, *, key: str, use: int) -> Tensor:
        own, adapters = self._modules, cast(Adapters, self.uses[str(use)])._modules
        x_TD = own["norm"](torch.cat((x_TD, uses.entered_TD), -1))
        qkv = own["qkv"](x_TD)
        if "q" in adapters:
            qkv = qkv + torch.cat([adapters[name](x_TD) for name in ("q", "k", "v")], -1)
        y_TD = own["mlp_norm"](own["out"](self._attended(qkv, step, key)))
        gate_up = own["gate_up"](y_TD) + adapters["gate_up"](y_TD)
        z_TD: Tensor = own["down"](gated(gate_up, self.activation, None))
        return z_TD

    def _attended(self, qkv: Tensor, step: Step, key: str) -> Tensor:
        H, G = self.heads, self.kv_heads
        qk, v_TGK = qkv.view(len(qkv), H + 2 * G, -1).split_with_sizes((H + G, G), 1)
        if "position" in self._modules:
            qk = self._modules["position"](qk, step)
        q_THK, k_TGK = qk.split_with_sizes((H, G), 1)
        kept = step.store(key, k_TGK, v_TGK)
        y_THK = attention(q_THK, k_TGK, v_TGK, spans=step.spans, kept=kept, scale=self.scale)
        return y_THK.flatten(1)


class Adapters(Part):
    """What one use of a block adds to its matrices."""

    def __init__(self, spec: SharedBlockSpec, pieces: tuple[int, ...], *, width: int) -> None:
        super().__init__()
        rank = spec.adapters.rank
        self.gate_up = Adapter(width, rank, 2 * spec.mlp.hidden)
        for name, piece in zip(("q", "k", "v"), pieces if spec.adapters.attention else (), strict=False):
            self.add_module(name, Adapter(2 * width, rank, piece))


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
