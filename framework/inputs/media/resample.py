"""From one sampling rate to another: band-limited interpolation, one filter for each phase of the output."""

from __future__ import annotations

from math import gcd

import torch
import torch.nn.functional as F
from torch import Tensor

ZEROS = 10  # crossings of zero on either side of the filter's middle
BETA = 5.0  # of the Kaiser window: the stop band lies some 50 dB below
BLOCK = 2**22  # samples that windows may hold at a time, as they can be copies


def resampled_length(length: int, *, rate_in: int, rate_out: int) -> int:
    """How many samples `resample` makes of so many: ceil(length * rate_out / rate_in)."""
    return -(-length * rate_out // rate_in)


def resample(samples: Tensor, *, rate_in: int, rate_out: int) -> Tensor:
    """[samples] at `rate_in` Hz -> [samples] at `rate_out` Hz, without what the lower of the two cannot carry.

    y[m] = sum over n of x[n] h(m down - n up), where up / down is the reduced ratio of the rates and h a sinc of the
    lower rate's band under a Kaiser window (J. O. Smith and P. Gossett, "A flexible sampling-rate conversion method",
    ICASSP 1984). ZEROS, BETA and the unit gain are those of scipy.signal.resample_poly.
    """
    common = gcd(rate_in, rate_out)
    up, down = rate_out // common, rate_in // common
    if up == down:
        return samples
    length = resampled_length(len(samples), rate_in=rate_in, rate_out=rate_out)
    filters, starts = _phases(up, down, count=min(up, length), dtype=samples.dtype)
    turns, taps = -(-length // up), filters.shape[1]
    before = -min(starts)
    after = max(0, (turns - 1) * down + max(starts) + taps - len(samples))
    padded = F.pad(samples, (before, after))
    found = samples.new_empty(len(filters), turns)
    for row, window, start in zip(found, filters, starts, strict=True):
        _filter(padded[before + start :], window, step=down, out=row)
    return found.T.reshape(-1)[:length]


def _phases(up: int, down: int, *, count: int, dtype: torch.dtype) -> tuple[Tensor, list[int]]:
    """The filters of the first phases [count, taps], and the first sample that each meets, counted from its turn's.

    Phase p gives y[q up + p] from x[q down + start + t], so its taps are h(p down - (start + t) up).
    """
    half = ZEROS * max(up, down)
    starts = torch.tensor([-((half - phase * down) // up) for phase in range(count)])  # h is 0 beyond half
    taps = torch.arange(2 * half // up + 1)
    at = (torch.arange(count) * down - starts * up)[:, None] - taps * up
    filters = _sinc(at.double(), half)
    gain = up / _sinc(torch.arange(-half, half + 1).double(), half).sum()
    return (filters * gain).to(dtype), starts.tolist()


def _sinc(at: Tensor, half: int) -> Tensor:
    """The windowed sinc at distances counted in samples of the common multiple of both rates."""
    inside = (1 - (at / half) ** 2).clamp(min=0).sqrt()
    window: Tensor = torch.special.i0(BETA * inside) * (at.abs() <= half)
    return torch.sinc(at * ZEROS / half) * window


def _filter(samples: Tensor, window: Tensor, *, step: int, out: Tensor) -> None:
    """out[q] = sum over t of samples[q step + t] window[t]."""
    windows = samples.unfold(0, len(window), step)[: len(out)]
    size = max(1, BLOCK // len(window))
    for start in range(0, len(out), size):
        torch.mv(windows[start : start + size], window, out=out[start : start + size])
