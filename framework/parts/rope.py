"""Rotary positions: each pair of channels turns with the position, at a frequency of its own.

Su et al. 2021, arXiv 2104.09864.
Every rule for the frequencies equals transformers' modeling_rope_utils of the same name, step by step in float32.
"""
# T rows, H heads, K head width, R turned channels, B sequences

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from triptych.kernels.rotary import rotary
from triptych.parts.rope_axes import angles_of
from triptych.parts.rope_spec import (
    DynamicScaling,
    LinearScaling,
    Llama3Scaling,
    LongropeScaling,
    ProportionalScaling,
    RopeSpec,
    YarnScaling,
)
from triptych.parts.step import Step


class Rope(nn.Module):
    """Heads [T, H, K] turned by their positions; tables are made once a step, for all layers of one spec."""

    Spec = RopeSpec

    def __init__(self, spec: RopeSpec, *, head_dim: int) -> None:
        super().__init__()
        spec.check_head_dim(head_dim)
        self.spec, self.width = spec, spec.width(head_dim)
        self.by_length = isinstance(spec.scaling, DynamicScaling | LongropeScaling)
        self._table = f"{spec!r} of {self.width}"  # equal for equal specs, and sooner looked up than a spec

    def forward(self, x_THK: Tensor, step: Step) -> Tensor:
        cos, sin = self.tables(step, x_THK.dtype)
        return rotary(x_THK, cos, sin, interleaved=self.spec.interleaved)

    def tables(self, step: Step, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosine and signed sine [T, 1, R] of each channel's angle, made once a step."""
        return step.once((self._table, dtype), lambda: self._tables(step, dtype))

    def _tables(self, step: Step, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        ladder = self.width // 2 if self.spec.axes == "each" else self.width
        frequencies, factor = frequencies_of(self.spec, ladder, step)
        angles = angles_of(step.positions, frequencies, axes=self.spec.axes, sections=self.spec.sections)
        cos, sin = (angles.cos() * factor).to(dtype), (angles.sin() * factor).to(dtype)
        if self.spec.interleaved:
            cos, sin = torch.stack((cos, cos), -1).flatten(1), torch.stack((-sin, sin), -1).flatten(1)
        else:
            cos, sin = torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1)
        return cos[:, None], sin[:, None]


def frequencies_of(spec: RopeSpec, width: int, step: Step) -> tuple[Tensor, float | Tensor]:
    """Radians a position for each pair, and a factor on cosine and sine; [T, R/2] and [T, 1] where sequences differ."""
    match spec.scaling:
        case LinearScaling() | ProportionalScaling() as scaling:
            return _divided(spec, scaling, width, step.device), 1.0
        case DynamicScaling() as scaling:
            return _dynamic(spec, scaling, width, step), 1.0
        case YarnScaling() as scaling:
            return _yarn(spec, scaling, width, step.device)
        case Llama3Scaling() as scaling:
            return _llama3(spec, scaling, width, step.device), 1.0
        case LongropeScaling() as scaling:
            return _longrope(spec, scaling, width, step)
    return _plain(spec.theta, width, step.device), 1.0


def _exponents(width: int, device: torch.device) -> Tensor:
    return torch.arange(0, width, 2, device=device).float() / width


def _plain(theta: float | Tensor, width: int, device: torch.device) -> Tensor:
    frequencies: Tensor = 1.0 / (theta ** _exponents(width, device))
    return frequencies


def _divided(spec: RopeSpec, scaling: LinearScaling | ProportionalScaling, width: int, device: torch.device) -> Tensor:
    frequencies = _plain(spec.theta, width, device) / scaling.factor
    if isinstance(scaling, LinearScaling):
        return frequencies
    turned = int(scaling.partial_rotary_factor * width // 2)
    return torch.where(torch.arange(width // 2, device=device) < turned, frequencies, 0.0)


def _dynamic(spec: RopeSpec, scaling: DynamicScaling, width: int, step: Step) -> Tensor:
    """NTK-aware: theta grows so that the slowest pair just covers the sequence; each sequence by its own length."""
    assert spec.max_positions is not None
    if max(step.lengths) <= spec.max_positions:
        return _plain(spec.theta, width, step.device)
    lengths_T = step.per_row(step.lengths).clamp(min=spec.max_positions)
    growth_T = scaling.factor * lengths_T / spec.max_positions - (scaling.factor - 1)
    return _plain((spec.theta * growth_T ** (width / (width - 2)))[:, None], width, step.device)


def _yarn(spec: RopeSpec, scaling: YarnScaling, width: int, device: torch.device) -> tuple[Tensor, float]:
    factor = _stretch(spec, scaling)
    turns = scaling.beta_fast or 32, scaling.beta_slow or 1
    low, high = (width * math.log(spec.original / (n * 2 * math.pi)) / (2 * math.log(spec.theta)) for n in turns)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, width - 1)
    high += 0.001 if low == high else 0
    keep = 1 - ((torch.arange(width // 2, device=device).float() - low) / (high - low)).clamp(0, 1)
    wavelengths = spec.theta ** _exponents(width, device)
    frequencies: Tensor = 1.0 / (factor * wavelengths) * (1 - keep) + 1.0 / wavelengths * keep
    return frequencies, _yarn_attention_factor(scaling, factor)


def _yarn_attention_factor(scaling: YarnScaling, factor: float) -> float:
    if scaling.attention_factor is not None:
        return scaling.attention_factor
    both = scaling.mscale and scaling.mscale_all_dim
    return (
        _mscale(factor, scaling.mscale or 0) / _mscale(factor, scaling.mscale_all_dim or 0) if both else _mscale(factor)
    )


def _mscale(factor: float, weight: float = 1.0) -> float:
    return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0


def score_factor(spec: RopeSpec) -> float:
    """What latent attention multiplies its scores by too where yarn stretches: what `mscale_all_dim` says, squared."""
    scaling = spec.scaling
    if not isinstance(scaling, YarnScaling) or not scaling.mscale_all_dim:
        return 1.0
    return _mscale(_stretch(spec, scaling), scaling.mscale_all_dim) ** 2


def _llama3(spec: RopeSpec, scaling: Llama3Scaling, width: int, device: torch.device) -> Tensor:
    """Long waves are stretched by `factor`, short ones kept, those between by a share of both."""
    frequencies = _plain(spec.theta, width, device)
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    wavelengths = 2 * math.pi / frequencies
    share = (spec.original / wavelengths - low) / (high - low)
    between = (1 - share) * frequencies / scaling.factor + share * frequencies
    stretched = torch.where(wavelengths > spec.original / low, frequencies / scaling.factor, between)
    return torch.where(wavelengths < spec.original / high, frequencies, stretched)


def _longrope(spec: RopeSpec, scaling: LongropeScaling, width: int, step: Step) -> tuple[Tensor, float | Tensor]:
    """Each sequence takes the short or the long divisors, and factor, by its own length."""
    factor, device = _stretch(spec, scaling), step.device
    wavelengths = spec.theta ** _exponents(width, device)
    short, long = (
        1.0 / (torch.tensor(d, device=device) * wavelengths) for d in (scaling.short_factor, scaling.long_factor)
    )
    is_long = [length > spec.original for length in step.lengths]
    frequencies = long if all(is_long) else short
    if any(is_long) and not all(is_long):
        frequencies = torch.where(step.per_row(is_long)[:, None], long, short)
    attention = 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(spec.original))
    attention = attention if scaling.attention_factor is None else scaling.attention_factor
    near, far = (attention if m is None else m for m in (scaling.short_mscale, scaling.long_mscale))
    if near == far:
        return frequencies, near
    return frequencies, torch.where(step.per_row(is_long)[:, None], far, near)


def _stretch(spec: RopeSpec, scaling: YarnScaling | LongropeScaling) -> float:
    """How many times longer the context is than that of the first training."""
    if scaling.factor is not None:
        return scaling.factor
    assert spec.max_positions is not None
    return spec.max_positions / spec.original
