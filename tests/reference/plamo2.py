"""PLaMo 2, *self-referenced* after the description of its release (pfnet/plamo-2-1b), row after row."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedConfig

from tests.reference.plain import Plain, Weights, attend, recalled, turned


class Plamo2Config(PreTrainedConfig):
    model_type = "plamo2"
    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 13312
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = 4
    hidden_size_per_head: int = 128
    rms_norm_eps: float = 1e-6
    tie_word_embeddings: bool = True
    max_position_embeddings: int = 10 * 2**20
    attention_window_size: int = 2048
    full_attention_idx: list[int] | None = None
    rope_theta: float = 10000.0
    rope_local_theta: float = 10000.0
    mamba_d_state: int = 64
    mamba_d_conv: int = 4
    mamba_num_heads: int = 64
    mamba_step: int = 2
    mamba_enabled: bool = True


def mamba(c: Any, w: Weights, rows: Tensor) -> Tensor:
    M, K, N, R = c.mamba_num_heads, c.hidden_size_per_head, c.mamba_d_state, max(64, c.hidden_size // 16)
    z, x = w.linear("in_proj", rows, 2 * M * K).unflatten(-1, (M, 2, K)).unbind(-2)
    taps = w.get("conv1d.weight", M * K, 1, c.mamba_d_conv)
    x = F.silu(F.conv1d(F.pad(x.flatten(2).mT, (c.mamba_d_conv - 1, 0)), taps, groups=M * K).mT)
    B, C, dt = w.linear("bcdt_proj", x, 2 * N + R).split([N, N, R], -1)
    B, C, dt = w.norm("B_norm_weight", B), w.norm("C_norm_weight", C), w.norm("dt_norm_weight", dt)
    dt, x = F.softplus(w.linear("dt_proj", dt, M) + w.get("dt_bias", M, first=0.0)), x.view(z.shape)
    stays = (-w.get("A_log", M, first=0.0).exp() * dt).exp()
    y = recalled(C[:, :, None], B[:, :, None], dt[..., None] * x, stays) + w.get("D", M)[:, None] * x
    return w.linear("out_proj", (y * F.silu(z)).flatten(2), c.hidden_size)


def attention(c: Any, w: Weights, rows: Tensor, *, full: bool) -> Tensor:
    H, G, K = c.num_attention_heads, c.num_key_value_heads, c.hidden_size_per_head
    q, k, v = w.linear("qkv_proj", rows, (H + 2 * G) * K).unflatten(-1, (-1, K)).split([H, G, G], 2)
    q = F.rms_norm(q, (K,), eps=1e-6) * w.get("q_weight", H, K)
    k = F.rms_norm(k, (K,), eps=1e-6) * w.get("k_weight", G, K)
    q, k = (turned(x, base=c.rope_theta if full else c.rope_local_theta, size=K) for x in (q, k))
    y = attend(q, k, v, reach=float("inf") if full else c.attention_window_size)  # so many rows before its own
    return w.linear("o_proj", y.flatten(2), c.hidden_size)


def layer(c: Any, w: Weights, x: Tensor, number: int) -> Tensor:
    half, last, rows = c.mamba_step // 2, c.num_hidden_layers - 1, w.norm("pre_mixer_norm.weight", x, offset=1.0)
    if c.mamba_enabled and not (number == last if last < half else number % c.mamba_step == half):
        y = mamba(c, w.under("mixer"), rows)
    else:
        y = attention(c, w.under("mixer"), rows, full=number in (c.full_attention_idx or ()))
    x = x + w.norm("post_mixer_norm.weight", y, offset=1 / 5)
    rows = w.norm("pre_mlp_norm.weight", x, offset=1.0)
    gate, up = w.linear("mlp.gate_up_proj", rows, 2 * c.intermediate_size).chunk(2, -1)
    y = w.linear("mlp.down_proj", F.silu(gate) * up, c.hidden_size)
    return x + w.norm("post_mlp_norm.weight", y, offset=1 / 5**1.5)


class Plamo2ForCausalLM(Plain):
    config_class = Plamo2Config

    def through(self, c: Any, w: Weights, x: Tensor) -> Tensor:
        for number in range(c.num_hidden_layers):
            x = layer(c, w.under("layers", "layers", str(number)), x, number)
        return w.norm("norm.weight", x, offset=1.0)
