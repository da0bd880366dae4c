"""Audio: every form of a waveform is read as one channel at the model's rate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.signal import resample_poly

from triptych import InputError
from triptych.inputs.media import AudioProcessorItems, MultiModalDataParser
from triptych.inputs.media import audio as bounds

WAVE = np.random.default_rng(0).uniform(-1, 1, 40).astype(np.float32)


def parse(data: object, *, target_sr: float | None = 16_000) -> AudioProcessorItems:
    parser = MultiModalDataParser(target_sr=target_sr)
    return parser.parse_mm_data({"audio": data}).get_items("audio", AudioProcessorItems)


@pytest.mark.parametrize(
    "form",
    [
        WAVE,
        torch.from_numpy(WAVE),
        WAVE.tolist(),
        WAVE.astype(np.float64),
        (WAVE, 16_000),
        (WAVE.tolist(), np.int64(16_000)),
        (torch.from_numpy(WAVE), 16_000.0),
        (WAVE[None], 16_000),
        (WAVE[:, None], 16_000),
    ],
    ids=["array", "tensor", "list", "float64", "rate", "list, rate", "tensor, rate", "[1, n]", "[n, 1]"],
)
def test_every_form_of_one_waveform_is_that_waveform(form: Any) -> None:
    for data in (form, [form]):
        items = parse(data)
        assert items.get_count() == 1
        assert items.get_audio_length(0) == 40
        np.testing.assert_array_equal(items.given(0), WAVE)
        assert items.given(0).dtype == np.float32


def test_a_list_has_any_of_the_forms() -> None:
    items = parse([WAVE, (WAVE, 8_000), WAVE.tolist()])
    assert [items.get_audio_length(i) for i in range(3)] == [40, 80, 40]
    assert [*items.get_processor_data()] == ["audio"]
    assert items.get_passthrough_data() == {}


def test_what_comes_with_a_rate_is_brought_to_the_models() -> None:
    (found,) = parse((WAVE, 48_000))
    np.testing.assert_allclose(found, resample_poly(WAVE, 1, 3), atol=1e-6)


@pytest.mark.parametrize("channels_last", [False, True])
def test_channels_are_averaged(channels_last: bool) -> None:
    stereo = np.stack([WAVE, WAVE[::-1]])
    (found,) = parse((stereo.T if channels_last else stereo, 16_000))
    np.testing.assert_allclose(found, (WAVE + WAVE[::-1]) / 2, atol=1e-7)


def test_arrays_that_torch_cannot_view_are_read_too() -> None:
    fixed = WAVE[::-1]
    fixed.flags.writeable = False
    np.testing.assert_array_equal(parse(fixed).given(0), WAVE[::-1])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (3.0, r"audio\[0\]: is float32 \[\]; a waveform is \[samples\]$"),
        ("a.wav", r"audio\[0\] \(a.wav\): there is no such file"),
        ([WAVE, []], r"audio\[1\]: has no samples"),
        (np.zeros(0, np.float32), r"audio\[0\]: has no samples"),
        (np.zeros(4, np.int16), r"audio\[0\]: is int16 \[4\]; samples are floats from -1 to 1"),
        ([1, 2], r"audio\[0\]: is int64 \[2\]; samples are floats"),
        ([[0.5, [0.5]]], r"audio\[0\]: is a list of something else than numbers; a waveform is \[samples\]$"),
        ([0.5, "x"], r"audio\[0\]\[1\]: is str"),
        ([0.5, float("nan")], r"audio\[0\]: has samples that are not finite"),
        ((np.zeros((1, 2, 3)), 16_000), r"is float64 \[1, 2, 3\]; a waveform is \[samples\] or \[channels, samples\]"),
        ((np.zeros((17, 20)), 16_000), r"is float64 \[17, 20\]; at most 16 channels are read"),
        ((WAVE, 0), r"audio\[0\]: has the rate 0; a whole number of Hz from 1 to 384,000 is wanted"),
        ((WAVE, 16_000.5), r"has the rate 16000.5; a whole number"),
        ((WAVE, float("nan")), r"has the rate nan; a whole number"),
        ((WAVE, 1_000_000), r"has the rate 1000000; a whole number"),
    ],
)
def test_what_is_no_waveform_is_refused(data: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(data)


def test_a_rate_needs_one_to_bring_it_to() -> None:
    with pytest.raises(
        InputError, match=r"^audio\[0\]: has a rate, and this model states none to bring it to; give the"
    ):
        parse((WAVE, 16_000), target_sr=None)
    assert parse(WAVE, target_sr=None).get_audio_length(0) == 40


def test_lengths_are_bounded_before_and_after_resampling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_SAMPLES", 40)
    assert parse(WAVE).get_audio_length(0) == 40
    assert parse((WAVE, 16_000)).get_audio_length(0) == 40
    for data, count in [(np.zeros(41), 41), ([0.5] * 41, 41), ((np.zeros((2, 30)), 16_000), 60), ((WAVE, 8_000), 80)]:
        with pytest.raises(InputError, match=rf"^audio\[0\]: has {count} samples; at most 40 are read$"):
            parse(data)


def test_a_long_recording_at_a_low_rate_is_refused_before_memory_is_spent() -> None:
    with pytest.raises(InputError, match=r"has 384,000,000 samples; at most 134,217,728 are read"):
        parse((np.zeros(1_000, np.float32), 1), target_sr=384_000)
