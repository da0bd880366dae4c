"""Rows at places of several axes (time, height, width): which axis each pair of channels turns with."""
# T rows, A axes, F frequencies, R turned channels

from __future__ import annotations

from collections.abc import Sequence

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
    axis, order = (
        torch.tensor(found, device=frequencies.device) for found in _shares(axes, frequencies.shape[-1], sections)
    )
    return positions[:, axis].float() * frequencies[..., order]


def _check(positions: Tensor, count: int) -> None:
    if (found := positions.shape[1] if positions.ndim > 1 else 1) != count:
        cure = "" if count > 1 else "; `axes` says which axis a pair of channels turns with"
        raise InputError(f"rows have places of {found} axes, and rope turns by {count}{cure}")


def _shares(axes: str, count: int, sections: Sequence[int] | None) -> tuple[list[int], list[int]]:
    """The axis of each pair, and which frequency of the ladder of `count` it has."""
    ladder, turns = [*range(count)], len(sections or ())
    if axes == "cut":
        return [axis for axis, pairs in enumerate(sections or ()) for _ in range(pairs)], ladder
    if axes == "weave":
        assert sections
        return [j % turns if j // turns < sections[j % turns] else 0 for j in ladder], ladder
    if axes == "deal":
        return [axis for axis in range(TWO) for _ in range(count // TWO)], [*ladder[::TWO], *ladder[1::TWO]]
    return [axis for axis in range(TWO) for _ in ladder], ladder * TWO
