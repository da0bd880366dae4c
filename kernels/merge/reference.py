"""The definition: y[t] = rows[items before t] where there is an item, else table[ids[t]] * scale."""

# T tokens, V vocabulary, N rows of items, D width

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def merge(ids_T: Tensor, table_VD: Tensor, rows_ND: Tensor, is_item_T: Tensor, *, scale: float) -> Tensor:
    x_TD = F.embedding(ids_T.masked_fill(is_item_T, 0), table_VD)
    if scale != 1.0:
        x_TD = x_TD * x_TD.new_full((), scale)
    place_T = (is_item_T.cumsum(0) - 1).clamp_(min=0)
    beyond_1D = rows_ND.new_full((1, rows_ND.shape[1]), torch.nan)
    items_TD = torch.cat((rows_ND, beyond_1D))[place_T.clamp(max=len(rows_ND))]
    return torch.where(is_item_T[:, None], items_TD, x_TD)
