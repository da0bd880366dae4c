"""An op on whole batches, over packed sequences: those of one length that lie side by side are one batch."""

# T rows, B sequences, L rows of each in a batch

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from triptych.kernels.attention import Spans

Op = Callable[..., tuple[Tensor, Tensor]]


def over_batches(op: Op, rows: Sequence[Tensor], state: Tensor, *, spans: Spans) -> tuple[Tensor, Tensor]:
    """`op` takes rows [B, L, ...] and a state [B, ...], and gives rows and the state after them; so does this.

    Here `rows` are [T, ...], cut by `spans`, and the state is that of all sequences.
    """
    found, states = list[Tensor](), list[Tensor]()
    for sequences, part, length in spans.batches:
        before = state[sequences]
        if not length:
            states.append(before)
            continue
        y, after = op(*(each[part].reshape(-1, length, *each.shape[1:]) for each in rows), state=before)
        found.append(y.flatten(0, 1))
        states.append(after)
    if len(found) == len(states) == 1:
        return found[0], states[0]
    return torch.cat(found), torch.cat(states)
