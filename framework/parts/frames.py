"""What an audio tower begins with: frames of a spectrogram -> rows."""
# N rows, D width, C channels of a frame, F frames

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triptych.errors import InputError
from triptych.parts.activations import get_activation
from triptych.parts.embed import Lookup
from triptych.parts.frames_spec import FramesSpec
from triptych.parts.grid import Grid
from triptych.parts.parameters import parameter

SEEN = 3  # frames that each place of a convolution sees


class Convolution(nn.Module):
    """[C, F] -> [D, F / stride], each place of three frames; noughts before the first and after the last."""

    def __init__(self, width_in: int, width_out: int, *, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.weight, self.bias = parameter(width_out, width_in, SEEN), parameter(width_out)

    def forward(self, x_CF: Tensor) -> Tensor:
        return F.conv1d(x_CF, self.weight, self.bias, stride=self.stride, padding=SEEN // 2)


class Frames(nn.Module):
    """act(second(act(first(frames)))) + table. Radford and others 2022, arXiv 2212.04356, section 2.2."""

    Spec = FramesSpec

    def __init__(self, spec: FramesSpec, *, width: int) -> None:
        super().__init__()
        self.spec, self.activation = spec, get_activation(spec.activation)
        self.takes_grids = spec.told
        self.first = Convolution(spec.channels, width, stride=spec.strides[0])
        self.second = Convolution(width, width, stride=spec.strides[1])
        self.table = Lookup(spec.positions, width)

    def sequences(self, frames_CF: Tensor) -> Sequence[Tensor]:
        """The clips that an item is heard in, each by itself."""
        return torch.split(frames_CF, self.spec.clip, -1) if self.spec.clip else [frames_CF]

    def forward(
        self, items: Sequence[Tensor], grids: Sequence[Grid] | None = None
    ) -> tuple[Tensor, list[Grid], list[int]]:
        """Spectrograms [C, F] -> rows [N, D] of all, the grid of each, the number of rows of each.

        With `grids` an item has as many rows as its grid. Raises InputError for an item of other channels, for one that
        is longer than there are positions, and for a grid of more rows than it has.
        """
        lengths = [self._length(item) for item in items]
        if grids is not None:
            lengths = [_told(grid, most) for grid, most in zip(grids, lengths, strict=True)]
        rows_ND = torch.cat([self._rows(item)[:length] for item, length in zip(items, lengths, strict=True)])
        return rows_ND, [Grid(length, 1, 1) for length in lengths], lengths

    def _rows(self, frames_CF: Tensor) -> Tensor:
        x_DF = self.activation(self.first(frames_CF))
        x_DF = self.activation(self.second(x_DF))
        return x_DF.T + self.table.weight[: x_DF.shape[1]]

    def _length(self, frames_CF: Tensor) -> int:
        channels, most = self.spec.channels, self.spec.positions
        if frames_CF.ndim != 2 or frames_CF.shape[0] != channels or not frames_CF.shape[1]:
            wanted = f"[{channels}, frames], one frame at least"
            raise InputError(f"audio of shape {list(frames_CF.shape)}; this tower takes {wanted}")
        if (length := self.spec.rows(frames_CF.shape[1])) > most:
            found = f"audio of {frames_CF.shape[1]} frames gives {length} rows"
            raise InputError(f"{found}; this tower has positions for {most}")
        return length


def _told(grid: Grid, most: int) -> int:
    if not 1 <= grid.rows <= most:
        raise InputError(f"a grid of {tuple(grid)} for audio of {most} rows; 1 to {most} can be told")
    return grid.rows
