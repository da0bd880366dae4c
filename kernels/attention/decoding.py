"""A step of one new row a sequence whose numbers are on the device alone: what is asked of it is the same every time.

So it can be recorded once, as a graph of launches, and replayed after the numbers have changed.
"""

# B sequences, S rows that one may have, R rows of a table, N groups, P pages of a sequence, H heads, G key/value heads

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import torch
from torch import Tensor

from triptych.errors import KernelError
from triptych.kernels.attention.spans import Kept, Reach, Spans
from triptych.kernels.widened import widened


class DecodeSpans(Spans):
    """One new row of each sequence. It has `lengths` [B] rows, the new one included; nought of one that is not there.

    Of group n its pages are `tables` [N, R, P] n in the row that `rows` [B] says, all int32. No sequence has more than
    `most` rows. The host knows neither `past` nor how long sequences are, and who asks is told so.
    """

    lengths_B: Tensor
    rows_B: Tensor
    tables_NRP: Tensor
    most: int

    def __init__(self, lengths_B: Tensor, rows_B: Tensor, tables_NRP: Tensor, *, most: int) -> None:
        super().__init__((*range(len(lengths_B) + 1),), ())
        self.__dict__ |= {"lengths_B": lengths_B, "rows_B": rows_B, "tables_NRP": tables_NRP, "most": most}

    def __getattribute__(self, name: str) -> object:
        if name in ("past", "lengths"):
            self._untold(name)
        return super().__getattribute__(name)

    def _untold(self, name: str) -> NoReturn:
        raise KernelError(f"the {name} of sequences are on the device alone in this step")


def attention(
    q_BHK: Tensor,
    kept: Kept,
    spans: DecodeSpans,
    *,
    scale: float,
    reach: Reach,
    bent: Callable[[Tensor], Tensor],
    sinks: Tensor | None,
) -> Tensor:
    """The definition for such a step, [B, H, V]: all rows that any sequence may have, those out of sight masked.

    What is looked at there may be no number. Sequences that are not there get noughts. `bent` is what caps scores.
    """
    wide, (H, G), page = widened(q_BHK.dtype), (q_BHK.shape[1], kept.k.shape[1]), kept.k.shape[2]
    last_B1 = spans.lengths_B.long()[:, None] - 1
    seen_BS = _in_sight(last_B1, torch.arange(spans.most, device=q_BHK.device), reach)
    pages_BP = spans.tables_NRP[kept.group][spans.rows_B.long()].long()[:, : -(-spans.most // page)]
    pages_BP = pages_BP.clamp(0, len(kept.k) - 1)
    k_BGSK, v_BGSV = (
        rows[pages_BP].transpose(1, 2).flatten(2, 3)[:, :, : spans.most].to(wide).where(seen_BS[:, None, :, None], 0.0)
        for rows in (kept.k, kept.v)
    )
    q_BGJK = q_BHK.to(wide).reshape(len(q_BHK), G, H // G, -1)
    scores_BHS = bent(torch.einsum("bgjk,bgsk->bgjs", q_BGJK, k_BGSK).flatten(1, 2) * scale)
    if reach.alibi:
        scores_BHS = scores_BHS + reach.alibi.of_each(last_B1[:, 0], range(spans.most), like=q_BHK)
    scores_BHS = scores_BHS.masked_fill(~seen_BS[:, None], float("-inf"))
    if sinks is not None:
        sinks_BH1 = sinks.to(wide)[None, :, None].expand(len(q_BHK), -1, 1)
        scores_BHS = torch.cat((scores_BHS, sinks_BH1), -1)
    weights_BHS = scores_BHS.softmax(-1)[..., : spans.most].where(last_B1[..., None] >= 0, 0.0)
    y_BGJV = torch.einsum("bgjs,bgsv->bgjv", weights_BHS.view(len(q_BHK), G, H // G, -1), v_BGSV)
    return y_BGJV.flatten(1, 2).to(q_BHK.dtype)


def _in_sight(last_B1: Tensor, at_S: Tensor, reach: Reach) -> Tensor:
    seen_BS = at_S <= last_B1
    if reach.window is not None:
        seen_BS &= at_S > last_B1 - reach.window
    if reach.chunk is not None:
        seen_BS &= at_S >= last_B1 // reach.chunk * reach.chunk
    return seen_BS
