"""Rows at places of several axes (time, height, width): which axis each pair of channels turns with."""
# T rows, A axes, F frequencies, R turned channels

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from triptych.errors import InputError

TWO = 2  # axes where no sections say how many


def angles_of(positions: Tensor, frequencies: Tensor, *, axes: str | None, sections: Sequence[int] | None) -> Tensor:
    """Positions [T] or [T, A] times frequencies [F], or [T, F] where sequences differ -> angles [T, R/2].

    Without `axes` rows have one position each; with them, a single one is that of every axis, as in text. Raises
    InputError for places of another number of axes.
    """
    if axes is None:
        _check(positions, 1)
        return positions.flatten()[:, None].float() * frequencies
    count = len(sections) if sections else TWO
    if positions.ndim == 1:
        positions = positions[:, None].expand(-1, count)
    _check(positions, count)
    axis, order = _shares(axes, frequencies.shape[-1], sections, frequencies.device)
    return positions[:, axis].float() * frequencies[..., order]


def _check(positions: Tensor, count: int) -> None:
    if (found := positions.shape[1] if positions.ndim > 1 else 1) != count:
        cure = "" if count > 1 else "; `axes` says which axis a pair of channels turns with"
        raise InputError(f"rows have places of {found} axes, and rope turns by {count}{cure}")


def _shares(axes: str, count: int, sections: Sequence[int] | None, device: torch.device) -> tuple[Tensor, Tensor]:
    """The axis of each pair, and which frequency of the ladder of `count` it has; no copy from the host."""
    ladder, none = torch.arange(count, device=device), torch.zeros(count, dtype=torch.int64, device=device)
    if axes == "cut":
        return sum((ladder >= stop for stop in [*accumulate(sections or ())][:-1]), none), ladder
    if axes == "weave":
        assert sections
        own, turn = ladder % len(sections), ladder // len(sections)
        shares = (axis * ((own == axis) & (turn < pairs)) for axis, pairs in enumerate(sections))
        return sum(shares, none), ladder
    if axes == "deal":
        return ladder // (count // TWO), torch.cat([ladder[first::TWO] for first in range(TWO)])
    both = torch.arange(TWO * count, device=device)
    return both // count, both % count
