"""Which rows of a video stay, and how far below the largest position of it each of them stands.

Where texts stand between its moments, how many rows of each stay is known later than how many tokens the video takes.
So its texts are rows of it too: every token of it is a placeholder, and what stays follows in its own order.
"""

# N rows of a video, M of them that stay, L tokens of it with its texts, A axes, D numbers of a row

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from triptych.parts.evs import as_digits, kept_rows
from triptych.parts.grid import Grid
from triptych.parts.mrope import ItemSpan


def rows_that_stay(rows_ND: Tensor, grid: Grid, *, rate: float, width: int) -> Tensor:
    """The numbers [M] of the rows of a video that stay. What is past `width` numbers of a row has no say."""
    return kept_rows(rows_ND[:, :width], moments=grid.t, rate=rate)


def with_places(rows_MD: Tensor, places_LA: Tensor, kept_M: Tensor) -> Tensor:
    """Rows [M, D + 9] that say themselves where they stand, of a video whose tokens stand at these places."""
    below_LA = (places_LA.max() - places_LA).to(rows_MD.device)
    return torch.cat((rows_MD, as_digits(below_LA[kept_M], rows_MD.dtype)), -1)


def between_texts(rows_ND: Tensor, texts_SD: Tensor, *, at: Sequence[int], kept_M: Tensor) -> tuple[Tensor, Tensor]:
    """The rows of a video in its texts, and which of all its tokens stay: all texts, and the rows that are kept.

    `at` says where each row stands among the tokens; the rows of texts have the places that are left.
    """
    length = len(rows_ND) + len(texts_SD)
    rows_at = torch.tensor(at, device=rows_ND.device)
    texts_at = torch.tensor(sorted({*range(length)} - {*at}), dtype=torch.long, device=rows_ND.device)
    whole_LD = rows_ND.new_zeros(length, rows_ND.shape[1])
    whole_LD[rows_at] = rows_ND
    whole_LD[texts_at, : texts_SD.shape[1]] = texts_SD.to(rows_ND)
    stay = torch.cat((texts_at, rows_at[kept_M])).sort().values
    return whole_LD[stay], stay


def moment_spans(at: Sequence[int], grid: Grid, seconds: float | None) -> list[ItemSpan]:
    """Where the moments of a video stand, by where its rows do."""
    each = len(at) // grid.t
    starts = [at[number * each] for number in range(grid.t)]
    return [ItemSpan(start, start + each, grid._replace(t=1), seconds) for start in starts]
