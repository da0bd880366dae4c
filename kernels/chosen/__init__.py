"""attention_to_chosen: every row looks at some rows of its sequence, at one vector of each, which all heads share."""

from __future__ import annotations

from torch import Tensor

from triptych.errors import KernelError
from triptych.kernels.chosen import reference


def attention_to_chosen(q_THC: Tensor, row_SC: Tensor, chosen_TK: Tensor, *, past: int, scale: float) -> Tensor:
    """q [T, H, C] of one sequence's rows after `past` others, all its rows [S, C] -> means of rows [T, H, C].

    `chosen` [T, K] are numbers of rows; of those a row sees the ones up to its own. Raises KernelError when the shapes
    do not fit together.
    """
    (T, _, C), S = q_THC.shape, len(row_SC)
    if row_SC.shape != (S, C) or chosen_TK.shape[:1] != (T,) or past + T != S:
        shapes = f"q {tuple(q_THC.shape)}, rows {tuple(row_SC.shape)}, chosen {tuple(chosen_TK.shape)}"
        raise KernelError(f"attention to chosen rows: {shapes} after {past} rows")
    return reference.attention_to_chosen(q_THC, row_SC, chosen_TK, past=past, scale=scale)
