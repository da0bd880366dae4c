"""PLaMo 2, *self-referenced* after the description of its release (pfnet/plamo-2-1b): row after row, in plain torch."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from tests.reference.uncached import Uncached


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


class Norm(nn.Module):
    def __init__(self, config: Any, offset: float) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.full((config.hidden_size,), 1 - offset)), config.rms_norm_eps
        self.offset = offset

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], self.weight + self.offset, self.eps)


class Mamba(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config, H = config, config.mamba_num_heads
        inner, N, R = H * config.hidden_size_per_head, config.mamba_d_state, max(64, config.hidden_size // 16)
        self.in_proj = nn.Linear(config.hidden_size, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, config.mamba_d_conv, groups=inner, bias=False)
        self.bcdt_proj, self.dt_proj = nn.Linear(inner, R + 2 * N, bias=False), nn.Linear(R, H, bias=False)
        self.dt_bias, self.D = nn.Parameter(torch.zeros(H)), nn.Parameter(torch.ones(H))
        self.A_log = nn.Parameter(torch.arange(1, H + 1).log())
        self.B_norm_weight, self.C_norm_weight = nn.Parameter(torch.ones(N)), nn.Parameter(torch.ones(N))
        self.dt_norm_weight = nn.Parameter(torch.ones(R))
        self.out_proj = nn.Linear(inner, config.hidden_size, bias=False)

    def forward(self, rows: Tensor, layer: int) -> Tensor:  # noqa: ARG002  (attention wants it)
        N, eps, taps = self.config.mamba_d_state, self.config.rms_norm_eps, self.config.mamba_d_conv
        z, x = self.in_proj(rows).unflatten(-1, (self.config.mamba_num_heads, 2, -1)).unbind(-2)
        x = F.silu(self.conv1d(F.pad(x.flatten(2).mT, (taps - 1, 0))).mT)
        B, C, dt = self.bcdt_proj(x).split([N, N, self.dt_norm_weight.numel()], -1)
        B, C = F.rms_norm(B, (N,), self.B_norm_weight, eps), F.rms_norm(C, (N,), self.C_norm_weight, eps)
        dt = self.dt_proj(F.rms_norm(dt, dt.shape[-1:], self.dt_norm_weight, eps))
        dt, x = F.softplus(dt + self.dt_bias)[..., None], x.view(z.shape)
        state, found = z.new_zeros(*z[:, 0].shape, N), []
        for t in range(rows.shape[1]):
            state = state * (-self.A_log.exp()[:, None] * dt[:, t]).exp()[..., None]
            state = state + (dt[:, t] * x[:, t])[..., None] * B[:, t, None, None]
            found.append((state * C[:, t, None, None]).sum(-1) + self.D[:, None] * x[:, t])
        return self.out_proj((torch.stack(found, 1) * F.silu(z)).flatten(2))


class Attention(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config, K = config, config.hidden_size_per_head
        H, G = self.heads = config.num_attention_heads, config.num_key_value_heads
        self.qkv_proj = nn.Linear(config.hidden_size, (H + 2 * G) * K, bias=False)
        self.o_proj = nn.Linear(H * K, config.hidden_size, bias=False)
        self.q_weight, self.k_weight = nn.Parameter(torch.ones(H, K)), nn.Parameter(torch.ones(G, K))

    def forward(self, rows: Tensor, layer: int) -> Tensor:
        (H, G), K, T = self.heads, self.config.hidden_size_per_head, rows.shape[1]
        full = layer in (self.config.full_attention_idx or ())
        q, k, v = self.qkv_proj(rows).unflatten(-1, (-1, K)).split([H, G, G], 2)
        q, k = (F.rms_norm(x, (K,), eps=1e-6) * w for x, w in ((q, self.q_weight), (k, self.k_weight)))
        base = self.config.rope_theta if full else self.config.rope_local_theta
        angle = torch.arange(T)[:, None] * base ** -(torch.arange(0, K, 2) / K).repeat(2)
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]
        q, k = (x * cos + torch.cat((-x[..., K // 2 :], x[..., : K // 2]), -1) * sin for x in (q, k))
        far = torch.arange(T)[:, None] - torch.arange(T)
        seen = (far >= 0) & (full | (far <= self.config.attention_window_size))  # so many rows before its own
        k, v = (x.repeat_interleave(H // G, 2) for x in (k, v))
        y = F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, k, v)), attn_mask=seen)
        return self.o_proj(y.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.gate_up_proj = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up_proj(x).chunk(2, -1)
        return self.down_proj(F.silu(gate) * up)


class Layer(nn.Module):
    def __init__(self, config: Any, layer: int) -> None:
        super().__init__()
        step, last = config.mamba_step, config.num_hidden_layers - 1
        attends = layer == last if last < step // 2 else layer % step == step // 2
        self.mixer = Mamba(config) if config.mamba_enabled and not attends else Attention(config)
        self.mlp, self.layer = Mlp(config), layer
        self.pre_mixer_norm, self.post_mixer_norm = Norm(config, 1.0), Norm(config, 1 / 5)
        self.pre_mlp_norm, self.post_mlp_norm = Norm(config, 1.0), Norm(config, 1 / 5**1.5)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.post_mixer_norm(self.mixer(self.pre_mixer_norm(x), self.layer))
        return x + self.post_mlp_norm(self.mlp(self.pre_mlp_norm(x)))


class Plamo2Model(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.Module()
        self.layers.layers = nn.ModuleList(Layer(config, i) for i in range(config.num_hidden_layers))
        self.norm = Norm(config, 1.0)

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.norm(nn.Sequential(*self.layers.layers)(self.embed_tokens(input_ids)))


class Plamo2ForCausalLM(PreTrainedModel):
    config_class = Plamo2Config
    base_model_prefix = "model"
    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012  (as its base has it)

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.model = Plamo2Model(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def forward(self, input_ids: Tensor, **_: Any) -> CausalLMOutput:
        return CausalLMOutput(logits=self.lm_head(self.model(input_ids)))

    generate = Uncached.generate
