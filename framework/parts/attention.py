"""Self-attention over packed sequences."""
# T rows, D width, H heads, G key/value heads, K head width, V width of a value

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from triptych.kernels.attention import attention
from triptych.kernels.choice import wants_kernel
from triptych.parts.activations import get_activation
from triptych.parts.attention_spec import AttentionSpec, HeadNorms, OutputGate
from triptych.parts.cache_needs import Rows
from triptych.parts.fused_heads import OP, SeenRows, can_fuse, fused
from triptych.parts.parameters import Linear, Part, parameter
from triptych.parts.step import Step


class Attention(Part):
    """out(attend(q, k, v)); queries, keys and values come from one matrix, heads in that order."""

    Spec: ClassVar[type[AttentionSpec]] = AttentionSpec

    def __init__(self, spec: AttentionSpec, *, width: int, key: str) -> None:
        super().__init__()
        self.spec, self.key = spec, key
        self.scale = spec.head_dim**-0.5 if spec.scores.scale is None else spec.scores.scale
        value_dim = spec.value_dim or spec.head_dim
        heads_kept, reach = (spec.kv_heads, (spec.head_dim, value_dim)), spec.reach
        self.cache_need = Rows(*heads_kept, reach.window, reach.chunk) if reach.causal else None
        inner, inner_kv = spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim
        pieces = (inner, inner_kv, spec.kv_heads * value_dim)
        self.qkv = Linear(width, sum(pieces), bias=spec.bias, pieces=pieces)
        self.out = Linear(spec.heads * value_dim, width, bias=spec.bias if spec.out.bias is None else spec.out.bias)
        self.sinks = parameter(spec.heads) if spec.scores.sinks else None
        gate = spec.out.gate
        self.gate = Gate(gate, width=width, heads=spec.heads, value_dim=value_dim) if gate else None
        told = spec.position
        self.position: nn.Module | None = told.build(head_dim=spec.head_dim) if told and told.turns else None
        self.on_scores = told.on_scores if told else None
        temperature = spec.scores.temperature
        self.temperature: nn.Module | None = temperature and temperature.build(head_dim=spec.head_dim)
        self._add_norms(spec.qk_norm or HeadNorms(), value_dim)
        self.fuses = can_fuse(self)
        knows = (self.position, self.temperature)  # how long sequences are, which is not told where steps are recorded
        self.decodes_on_device = self.on_scores is None and not any(getattr(p, "by_length", False) for p in knows)

    def _add_norms(self, norms: HeadNorms, value_dim: int) -> None:
        self.clip = norms.clip
        self.norms_first, self.over_all = norms.norm is not None and norms.when == "before", norms.over == "all"
        heads, kv_heads = (self.spec.heads, self.spec.kv_heads) if self.over_all else (1, 1)
        self.q_norm: nn.Module | None = norms.norm and norms.norm.build(width=heads * self.spec.head_dim)
        self.k_norm: nn.Module | None = norms.norm and norms.norm.build(width=kv_heads * self.spec.head_dim)
        self.v_norm: nn.Module | None = norms.values and norms.values.build(width=value_dim)

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        q_THK, rows = self._seen(x_TD, step)
        return self._out(self._attended(q_THK, rows, step), x_TD)

    def _seen(self, x_TD: Tensor, step: Step) -> tuple[Tensor, SeenRows]:
        """Queries, and the rows that they look at, which are kept by then."""
        if self.fuses and wants_kernel(OP, x_TD) and (found := fused(self, x_TD, step)):
            return found
        q_THK, k_TGK, v_TGV = self._heads(x_TD, step)
        return q_THK, (k_TGK, v_TGV, step.store(self.key, k_TGK, v_TGV) if self.spec.causal else None)

    def _attended(self, q_THK: Tensor, rows: SeenRows, step: Step, *, window: int | None = None) -> Tensor:
        """What heads [T, H, V] make of rows; `window` instead of that of the spec."""
        scores, reach = self.spec.scores, self.spec.reach
        return attention(
            q_THK,
            rows[0],
            rows[1],
            spans=step.cut(reach.within),
            kept=rows[2],
            scale=self.scale,
            causal=reach.causal,
            window=window or reach.window,
            chunk=reach.chunk,
            whole_blocks=reach.whole_blocks,
            softcap=scores.softcap,
            temperature_length=scores.temperature_length,
            sinks=self._parameters.get("sinks"),
            alibi=self.on_scores,
        )

    def _out(self, y_THV: Tensor, x_TD: Tensor) -> Tensor:
        if "gate" in self._modules:
            y_THV = self._modules["gate"](y_THV, x_TD)
        y_TD: Tensor = self._modules["out"](y_THV.flatten(1))
        return y_TD

    def _heads(self, x_TD: Tensor, step: Step) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, normed and turned; without a norm before, queries and keys turn as one tensor."""
        own, (qk, v) = self._modules, self._projected(x_TD)
        if not self.norms_first:
            qk = self._turned(qk, step)
        q, k = qk.split_with_sizes((self.spec.heads, self.spec.kv_heads), 1)
        if "q_norm" in own:
            q, k = self._normed(own["q_norm"], q), self._normed(own["k_norm"], k)
        if self.norms_first:
            q, k = self._turned(q, step), self._turned(k, step)
        v = own["v_norm"](v) if "v_norm" in own else v
        v = v if self.clip is None else v.clamp(-self.clip, self.clip)
        return (own["temperature"](q, step) if "temperature" in own else q), k, v

    def _projected(self, x_TD: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and keys [T, H + G, K] side by side, and values."""
        H, G, K = self.spec.heads, self.spec.kv_heads, self.spec.head_dim
        qkv = self._modules["qkv"](x_TD)
        if self.spec.value_dim is None:
            qk, v = qkv.view(-1, H + 2 * G, K).split_with_sizes((H + G, G), 1)
            return qk, v
        qk, v = qkv.tensor_split([(H + G) * K], 1)
        return qk.view(-1, H + G, K), v.view(-1, G, self.spec.value_dim)

    def _normed(self, norm: nn.Module, x_THK: Tensor) -> Tensor:
        y: Tensor = norm(x_THK.flatten(1)).view(x_THK.shape) if self.over_all else norm(x_THK)
        return y

    def _turned(self, x_THK: Tensor, step: Step) -> Tensor:
        """Heads as they are looked at or look: within the clip, turned by their positions."""
        x_THK = x_THK if self.clip is None else x_THK.clamp(-self.clip, self.clip)
        return self._modules["position"](x_THK, step) if "position" in self._modules else x_THK


class Gate(Linear):
    """What heads give times activation(x weight^T + bias), a number for each head or for each channel of a value."""

    def __init__(self, spec: OutputGate, *, width: int, heads: int, value_dim: int) -> None:
        self.channels = value_dim if spec.over == "channel" else 1
        super().__init__(width, heads * self.channels, bias=spec.bias)
        self.activation = get_activation(spec.activation)

    def forward(self, y_THV: Tensor, x_TD: Tensor) -> Tensor:  # type: ignore[override]
        return y_THV * self.activation(super().forward(x_TD)).view(*y_THV.shape[:2], self.channels)
