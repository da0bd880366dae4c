"""The definition: h_t = exp(a_t) h_(t-1) + v_t k_t and y_t = h_t q_t. Dao and Gu 2024, arXiv 2405.21060.

Rows of a chunk meet as in attention, weighted by how much fades between them; the state carries what was before.
"""

# B sequences of L rows, H heads, G groups of them, P width of a value, N width of a key

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 64


def ssd(q_BLGN: Tensor, k_BLGN: Tensor, v_BLHP: Tensor, a_BLH: Tensor, *, state: Tensor) -> tuple[Tensor, Tensor]:
    """Rows from a state [B, H, P, N] on -> [B, L, H, P], and the state after them."""
    h_BHPN, dtype, (L, H), found = state, state.dtype, a_BLH.shape[1:], list[Tensor]()
    q, k, v = (each.to(dtype).transpose(1, 2) for each in (q_BLGN, k_BLGN, v_BLHP))
    q, k = (each.repeat_interleave(H // each.shape[1], 1) for each in (q, k))
    a = a_BLH.transpose(1, 2)
    if L == 1:
        h_BHPN = a.to(dtype).exp()[..., None] * h_BHPN + v.mT * k
        return (q @ h_BHPN.mT).transpose(1, 2).to(v_BLHP.dtype), h_BHPN
    for start in range(0, L, CHUNK):
        part = slice(start, start + CHUNK)
        y, h_BHPN = _chunk(q[:, :, part], k[:, :, part], v[:, :, part], a[:, :, part], h_BHPN)
        found.append(y)
    return torch.cat(found, 2).transpose(1, 2).to(v_BLHP.dtype), h_BHPN


def _chunk(q_BHLN: Tensor, k_BHLN: Tensor, v_BHLP: Tensor, a_BHL: Tensor, h_BHPN: Tensor) -> tuple[Tensor, Tensor]:
    g_BHL = a_BHL.double().cumsum(-1)  # differences of long sums
    between_BHLM = (g_BHL[..., None] - g_BHL[..., None, :]).tril().exp().tril().to(h_BHPN.dtype)
    before, after = g_BHL.exp().to(h_BHPN.dtype), (g_BHL[..., -1:] - g_BHL).exp().to(h_BHPN.dtype)
    y_BHLP = (q_BHLN @ k_BHLN.mT * between_BHLM) @ v_BHLP + (q_BHLN * before[..., None]) @ h_BHPN.mT
    return y_BHLP, h_BHPN * before[..., -1:, None] + v_BHLP.mT @ (k_BHLN * after[..., None])
