"""Rows of a picture of any size -> a fixed number of rows: learned queries look at them.

The mathematics is that of the resampler of MiniCPM-V (Y. Yao and others, arXiv 2408.01800) as its files have it.
"""
# N rows of all pictures, D width, Q queries of a picture, H heads, K head width

from __future__ import annotations

import torch
from torch import Tensor, nn

from triptych.errors import SpecError
from triptych.kernels.attention import Spans
from triptych.kernels.cross_attention import cross_attention
from triptych.kernels.linear import linear
from triptych.parts.grid import Grid, pictures_of
from triptych.parts.parameters import Linear, parameter
from triptych.parts.places import places_of
from triptych.parts.resampler_spec import ResamplerSpec
from triptych.parts.sources import Source

BASE = 10_000.0  # of the wavelengths that places are told by


class Resampler(nn.Module):
    """out(attend(q of norm(queries), k of rows + places, v of rows)): [N, D] -> [pictures * Q, D].

    Queries, keys and values come from one matrix, in that order.
    """

    Spec = ResamplerSpec

    def __init__(self, spec: ResamplerSpec, *, width: int, out: int) -> None:  # noqa: ARG002  (it has no say in the width)
        super().__init__()
        if width % spec.heads or (spec.places and width % (4 * spec.heads)):
            told = ", and in four for places" if spec.places else ""
            raise SpecError(f"rows of {width} are not to be cut into {spec.heads} heads{told}")
        self.spec, self.width = spec, width
        self.queries = parameter(spec.queries, width)
        self.norm: nn.Module | None = spec.norm.build(width=width) if spec.norm else None
        self.qkv = Linear(width, 3 * width, bias=True, pieces=(width,) * 3)
        self.out = Linear(width, width, bias=True)

    def forward(self, x_ND: Tensor, grids: list[Grid]) -> tuple[Tensor, list[Grid]]:
        """Raises SpecError for other rows than those of the grids, such as class tokens."""
        pictures = [picture for grid in grids for picture in pictures_of(grid)]
        lengths = [picture.rows for picture in pictures]
        if sum(lengths) != len(x_ND):
            raise SpecError(f"{len(x_ND)} rows to look at, and their grids have {sum(lengths)}; `skip` others")
        key_ND = x_ND + torch.cat([_places(picture, x_ND) for picture in pictures]) if self.spec.places else x_ND
        q_QHK, k_NHK, v_NHK = (each.view(len(each), self.spec.heads, -1) for each in self._projected(x_ND, key_ND))
        source = Source(tuple(lengths), given=tuple(range(len(lengths))))
        spans = Spans.of([self.spec.queries] * len(pictures))
        q_THK, scale = q_QHK.repeat(len(pictures), 1, 1), q_QHK.shape[-1] ** -0.5
        kept = source.kept((k_NHK, v_NHK))
        y_THK = cross_attention(q_THK, kept, lengths=lengths, spans=spans, scale=scale)
        return self.out(y_THK.flatten(1)), [self.spec.after(grid) for grid in grids]

    def _projected(self, x_ND: Tensor, key_ND: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        given = (self.queries if self.norm is None else self.norm(self.queries), key_ND, x_ND)
        assert self.qkv.bias is not None
        weights, biases = self.qkv.weight.view(3, self.width, self.width), self.qkv.bias.view(3, self.width)
        parts = zip(given, weights, biases, strict=True)
        q_QD, k_ND, v_ND = (linear(each, weight, bias) for each, weight, bias in parts)
        return q_QD, k_ND, v_ND


def _places(picture: Grid, like_ND: Tensor) -> Tensor:
    """[rows, D] in the dtype of `like`: sines, then cosines of a row's column at each wavelength, then of its line."""
    waves = like_ND.shape[1] // 4
    speeds = BASE ** (torch.arange(waves, device=like_ND.device, dtype=torch.float32) / -waves)
    places_N2 = torch.tensor(places_of(picture)[:, ::-1].copy(), device=like_ND.device)
    angles_N2W = places_N2[..., None] * speeds
    return torch.cat((angles_N2W.sin(), angles_N2W.cos()), -1).flatten(1).to(like_ND.dtype)
