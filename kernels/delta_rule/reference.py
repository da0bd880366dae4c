"""The definition: h = exp(a_t) h_(t-1), h_t = h + k_t beta_t (v_t - k_t h), y_t = q_t h_t.

Yang, Kautz and Hatamizadeh 2024, arXiv 2412.06464; Kimi Team 2025, arXiv 2510.26692 for decays of each number of a key.
Within a chunk what each row writes follows from those before it: a triangular system, as in arXiv 2406.06484.
"""

# B sequences of L rows, H heads, K width of a key, V of a value, J decays of a head: 1 or K

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 32


def delta_rule(
    q_BLHK: Tensor, k_BLHK: Tensor, v_BLHV: Tensor, a_BLHJ: Tensor, beta_BLH: Tensor, *, state: Tensor
) -> tuple[Tensor, Tensor]:
    """Rows from a state [B, H, K, V] on -> [B, L, H, V], and the state after them."""
    h_BHKV, dtype, L, found = state, state.dtype, q_BLHK.shape[1], list[Tensor]()
    q, k, v, beta = (x.to(dtype).transpose(1, 2) for x in (q_BLHK, k_BLHK, v_BLHV, beta_BLH[..., None]))
    a = a_BLHJ.transpose(1, 2)
    if L == 1:
        h_BHKV = a.to(dtype).exp().mT * h_BHKV
        h_BHKV = h_BHKV + k.mT * (beta * (v - k @ h_BHKV))
        return (q @ h_BHKV).transpose(1, 2).to(v_BLHV.dtype), h_BHKV
    for start in range(0, L, CHUNK):
        part = slice(start, start + CHUNK)
        y, h_BHKV = _chunk(*(each[:, :, part] for each in (q, k, v, a, beta)), h_BHKV=h_BHKV)
        found.append(y)
    return torch.cat(found, 2).transpose(1, 2).to(v_BLHV.dtype), h_BHKV


def _chunk(q: Tensor, k: Tensor, v: Tensor, a: Tensor, beta: Tensor, *, h_BHKV: Tensor) -> tuple[Tensor, Tensor]:
    """q, k [B, H, L, K], v [B, H, L, V], a [B, H, L, J], beta [B, H, L, 1] of one chunk."""
    dtype, g = h_BHKV.dtype, a.double().cumsum(2)  # differences of long sums
    later_LL = torch.ones(g.shape[2], g.shape[2], dtype=torch.bool, device=g.device).tril()
    between = (g[:, :, :, None] - g[:, :, None]).where(later_LL[..., None], -torch.inf).exp().to(dtype)
    before, after = g.exp().to(dtype), (g[:, :, -1:] - g).exp().to(dtype)
    wanted = beta * (v - (k * before) @ h_BHKV)
    written = torch.linalg.solve_triangular(_meet(beta * k, k, between), wanted, upper=False, unitriangular=True)
    y = _meet(q, k, between) @ written + (q * before) @ h_BHKV
    return y, h_BHKV * before[:, :, -1:].mT + (k * after).mT @ written


def _meet(q: Tensor, k: Tensor, between: Tensor) -> Tensor:
    """Products of each row's q with the k of it and of those before, less what fades between [B, H, L, L, J]."""
    if between.shape[-1] == 1:
        return q @ k.mT * between[..., 0]
    return torch.einsum("bhlk,bhmk,bhlmk->bhlm", q, k, between)
