"""Rows beside the sequences of a step, which these look at: what an encoder made of their items."""
# S rows of sources, D width, G key/value heads, K head width

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from triptych.kernels.attention import Kept


@dataclass(frozen=True, eq=False)
class Source:
    """`lengths` are the rows of each sequence of a step. `rows` [S, D] are those of the sequences `given` (by number).

    Those come one after the other, and are written to the cache; of the others it has them from a step before.
    """

    lengths: tuple[int, ...]
    rows: Tensor | None = None
    given: tuple[int, ...] = ()

    @classmethod
    def of(cls, items: Sequence[Tensor]) -> Source:
        """Each sequence brings its own rows [n_i, D]."""
        return cls(tuple(map(len, items)), torch.cat([*items]), tuple(range(len(items))))

    @property
    def whole(self) -> bool:
        """Whether every sequence brings its rows, as without a cache."""
        return self.given == tuple(range(len(self.lengths)))

    def of_given(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Rows [S, ...] of all that are given -> those of each."""
        return torch.split(rows, [self.lengths[number] for number in self.given])

    def kept(self, rows: Sequence[Tensor]) -> Kept:
        """Keys and values [S, G, K] of all sequences as a cache has them, each sequence in a page of its own."""
        k, v = (pad_sequence([*self.of_given(each)], batch_first=True).transpose(1, 2) for each in rows)
        return Kept(k, v, [(number,) for number in range(len(self.lengths))])
