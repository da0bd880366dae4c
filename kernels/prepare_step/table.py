"""What a device holds of requests, and what a step is given of them."""

# T tokens of a step, B requests of it, R rows of the table, L tokens of a request, N groups, P pages of a request

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class StepTable(NamedTuple):
    """Of each request, in the row that is its own while it runs; whole numbers of 32 bits, `last` of 64.

    Of its tokens the first `known` are in `tokens`, and the one after these is `last`, which was drawn on the device.
    `computed` of them have their rows in pages, of each group that forgets alike. `delta` is how far past its number a
    token stands. A page below nought is none.
    """

    tokens: Tensor  # [R, L]
    known: Tensor  # [R]
    last: Tensor  # [R], int64
    computed: Tensor  # [R]
    delta: Tensor  # [R]
    pages: Tensor  # [N, R, P]
    page_sizes: Tensor  # [N], rows of a page


class StepInputs(NamedTuple):
    """Of each token its id, where it stands, and in each group the slot of its row: page times its size, and the row.

    Of each request all rows that it has after the step, 32 bits, and which token's row is its last.
    """

    ids: Tensor  # [T]
    positions: Tensor  # [T]
    slots: Tensor  # [N, T]; below nought for a row that nobody keeps
    lengths: Tensor  # [B], int32
    logit_rows: Tensor  # [B]
