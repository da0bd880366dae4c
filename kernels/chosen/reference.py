"""The definition: softmax(q k^T scale) k over the chosen rows k, scores in float32."""
# T query rows, S rows in all, H heads, K rows chosen of each, C width of a row

from __future__ import annotations

import torch
from torch import Tensor

AT_ONCE = 2**24  # numbers of chosen rows that are gathered together, so that a long prompt takes no more memory


def attention_to_chosen(q_THC: Tensor, row_SC: Tensor, chosen_TK: Tensor, *, past: int, scale: float) -> Tensor:
    found = torch.empty_like(q_THC)
    count = max(1, AT_ONCE // max(1, chosen_TK.shape[1] * row_SC.shape[1]))
    for first in range(0, len(q_THC), count):
        part = slice(first, first + count)
        chosen = chosen_TK[part]
        at_T1 = torch.arange(past + first, past + first + len(chosen), device=chosen.device)[:, None]
        rows_TKC = row_SC[chosen].float()
        scores_THK = torch.einsum("thc,tkc->thk", q_THC[part].float(), rows_TKC) * scale
        weights_THK = scores_THK.masked_fill((chosen > at_T1)[:, None], -torch.inf).softmax(-1)
        found[part] = torch.einsum("thk,tkc->thc", weights_THK, rows_TKC).to(q_THC.dtype)
    return found
