"""Resampling: the numbers of scipy's polyphase filter, and sines that stay what they are."""

from __future__ import annotations

from math import gcd, pi

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from triptych.inputs.media.resample import resample, resampled_length

RATES = st.integers(1, 60)


def by_scipy(samples: np.ndarray, rate_in: int, rate_out: int) -> np.ndarray:
    common = gcd(rate_in, rate_out)
    return resample_poly(samples, rate_out // common, rate_in // common)


@settings(deadline=None, max_examples=150)
@example(rate_in=1, rate_out=60, length=1, seed=0)
@example(rate_in=60, rate_out=1, length=300, seed=0)
@given(rate_in=RATES, rate_out=RATES, length=st.integers(1, 300), seed=st.integers(0, 99))
def test_samples_are_those_of_scipy(rate_in: int, rate_out: int, length: int, seed: int) -> None:
    samples = np.random.default_rng(seed).standard_normal(length)
    found = resample(torch.from_numpy(samples), rate_in=rate_in, rate_out=rate_out)
    assert len(found) == resampled_length(length, rate_in=rate_in, rate_out=rate_out)
    np.testing.assert_allclose(found.numpy(), by_scipy(samples, rate_in, rate_out), atol=1e-12)


@pytest.mark.parametrize(
    ("rate_in", "rate_out"), [(44_100, 16_000), (8_000, 16_000), (48_000, 16_000), (16_000, 24_000)]
)
def test_rates_of_today_give_scipys_samples_in_float32(rate_in: int, rate_out: int) -> None:
    samples = np.random.default_rng(0).standard_normal(2_000).astype(np.float32)
    found = resample(torch.from_numpy(samples), rate_in=rate_in, rate_out=rate_out)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), by_scipy(samples, rate_in, rate_out), atol=2e-6)


@pytest.mark.parametrize(("rate_in", "rate_out"), [(44_100, 16_000), (8_000, 16_000), (16_000, 44_100)])
def test_a_sine_that_both_rates_carry_is_the_same_sine(rate_in: int, rate_out: int) -> None:
    hertz = 440
    found = resample(
        torch.sin(2 * pi * hertz * torch.arange(rate_in).double() / rate_in), rate_in=rate_in, rate_out=rate_out
    )
    wanted = torch.sin(2 * pi * hertz * torch.arange(rate_out).double() / rate_out)
    inner = slice(200, -200)  # at the ends the filter meets the silence outside
    torch.testing.assert_close(found[inner], wanted[inner], atol=2e-3, rtol=0)


def test_a_sine_above_the_lower_rates_band_is_left_out() -> None:
    sine = torch.sin(2 * pi * 11_000 * torch.arange(44_100).double() / 44_100)
    assert resample(sine, rate_in=44_100, rate_out=16_000)[200:-200].abs().max() < 5e-3


def test_long_waveforms_are_filtered_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = torch.randn(1_000, generator=torch.Generator().manual_seed(0))
    whole = resample(samples, rate_in=3, rate_out=7)
    monkeypatch.setitem(resample.__globals__, "BLOCK", 64)
    torch.testing.assert_close(resample(samples, rate_in=3, rate_out=7), whole)


def test_equal_rates_leave_samples_alone() -> None:
    samples = torch.randn(5)
    assert resample(samples, rate_in=16_000, rate_out=16_000) is samples
