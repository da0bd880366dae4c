"""MiniCPM-V's resampler, written down from its description: no reference of it can be run here, this one is our own.

Learned queries attend to the rows of each picture. Its keys, not its values, carry a table of places: of the column in
the first half of the width, of the line in the second, sines before cosines, wavelengths from 2 pi to 10,000 times it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

EPS = 1e-6


class Resampler(nn.Module):
    """Rows [n, kv_width] of each picture and its (lines, columns) -> [pictures, queries, width]."""

    def __init__(self, *, queries: int, width: int, heads: int, kv_width: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(queries, width))
        self.kv_proj = nn.Linear(kv_width, width, bias=False)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_q, self.ln_kv, self.ln_post = (nn.LayerNorm(width, eps=EPS) for _ in range(3))
        self.proj = nn.Parameter(torch.zeros(width, width))

    def forward(self, pictures: Sequence[Tensor], sizes: Sequence[tuple[int, int]]) -> Tensor:
        """Padded to the longest, with a mask, as the released model runs them."""
        longest = max(map(len, pictures))
        rows = torch.stack([torch.cat((x, x.new_zeros(longest - len(x), x.shape[1]))) for x in pictures])
        tables = torch.stack([_padded(table(*size, self.query.shape[1]), longest) for size in sizes])
        absent = torch.tensor([[n >= len(x) for n in range(longest)] for x in pictures])
        values = self.ln_kv(self.kv_proj(rows))
        queries = self.ln_q(self.query).expand(len(pictures), -1, -1)
        found, _ = self.attn(queries, values + tables, values, key_padding_mask=absent, need_weights=False)
        return self.ln_post(found) @ self.proj


def table(lines: int, columns: int, width: int) -> Tensor:
    """[lines * columns, width], number by number."""
    found = torch.zeros(lines, columns, width)
    for line in range(lines):
        for column in range(columns):
            found[line, column] = torch.tensor([*_waves(column, width // 2), *_waves(line, width // 2)])
    return found.flatten(0, 1)


def _waves(place: int, width: int) -> list[float]:
    angles = [place / 10_000 ** (2 * number / width) for number in range(width // 2)]
    return [*map(math.sin, angles), *map(math.cos, angles)]


def _padded(rows: Tensor, longest: int) -> Tensor:
    return torch.cat((rows, rows.new_zeros(longest - len(rows), rows.shape[1])))
