"""Sound in files, and long sound in clips."""

from __future__ import annotations

import io
import sys
import wave
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from triptych.capabilities import SpeechToTextConfig
from triptych.errors import InputError
from triptych.inputs.media import sound_files
from triptych.inputs.media.clips import clips
from triptych.inputs.media.sound_files import read_sound


def written(path: Path, samples: Any, *, rate: int = 8000, width: int = 2) -> Path:
    """[channels, samples] from -1 to 1 as a WAVE file."""
    whole = np.round(np.asarray(samples).T * (2 ** (8 * width - 1) - 1)).astype(np.int64)
    raw = (whole + 128).astype(np.uint8)[..., None] if width == 1 else None
    raw = (
        np.ascontiguousarray(whole.astype("<i8")).view(np.uint8).reshape(*whole.shape, 8)[..., :width]
        if raw is None
        else raw
    )
    with wave.open(str(path), "wb") as file:
        file.setnchannels(whole.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(raw.tobytes())
    return path


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_of_every_width_come_as_floats(tmp_path: Path, width: int, channels: int) -> None:
    samples = np.random.default_rng(width).uniform(-1, 1, (channels, 50))
    samples[:, :2] = [-1, 1]
    found, rate = read_sound(written(tmp_path / "a.wav", samples, rate=48_000, width=width))
    assert (rate, found.dtype, found.shape) == (48_000, np.float32, (channels, 50))
    np.testing.assert_allclose(found, samples, atol=2 ** (1 - 8 * width) * 1.6 + 1e-7)


def test_a_file_that_ends_too_soon_is_told(tmp_path: Path) -> None:
    file = written(tmp_path / "a.wav", np.zeros((1, 50)))
    file.write_bytes(file.read_bytes()[:-21])
    with pytest.raises(InputError, match=r"a.wav: ends too soon: it has 39 of the 50 samples that it announces"):
        read_sound(file)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"OggS" + bytes(100), b"ID3" + bytes(50)])
def test_what_is_no_plain_sound_is_told_with_what_would_do(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sound_files, "find_spec", lambda _: None)
    file = tmp_path / "a.ogg"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"a.ogg: is no WAVE file of plain samples \(.+\); pip install 'triptych"):
        read_sound(file)


def test_other_formats_go_to_soundfile_where_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class SoundFileError(RuntimeError):
        pass

    class SoundFile:
        frames, channels, samplerate = 3, 2, 11_025

        def __init__(self, path: Path) -> None:
            if path.read_bytes() == b"broken":
                raise SoundFileError("no sound in it")

        def __enter__(self) -> SoundFile:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def read(self, **asked: object) -> Any:
            assert asked == {"dtype": "float32", "always_2d": True}
            return np.arange(6, dtype=np.float32).reshape(3, 2)

    library = ModuleType("soundfile")
    library.SoundFile, library.SoundFileError = SoundFile, SoundFileError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "soundfile", library)
    monkeypatch.setattr(sound_files, "find_spec", lambda _: object())
    file = tmp_path / "a.flac"
    file.write_bytes(b"fLaC")
    found, rate = read_sound(file)
    assert (found.tolist(), rate) == ([[0, 2, 4], [1, 3, 5]], 11_025)
    file.write_bytes(b"broken")
    with pytest.raises(InputError, match=r"a.flac: is no sound that can be read: no sound in it"):
        read_sound(file)


def test_a_file_without_samples_and_one_that_is_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a.wav: has no samples"):
        read_sound(written(tmp_path / "a.wav", np.zeros((1, 0))))
    with pytest.raises(InputError, match=r"b.wav: there is no such file"):
        read_sound(tmp_path / "b.wav")


def test_a_file_that_announces_more_than_is_read_is_refused_before_it_is(tmp_path: Path) -> None:
    head = io.BytesIO()
    with wave.open(head, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(b"")
    raw = bytearray(head.getvalue())
    raw[4:8], raw[40:44] = (2**31).to_bytes(4, "little"), (2**31 - 2**10).to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(bytes(raw))
    with pytest.raises(InputError, match=r"has 1,073,741,312 samples at 16,000 Hz; at most 134,217,728 are read"):
        read_sound(tmp_path / "a.wav")


CONFIG = SpeechToTextConfig(sample_rate=10, max_audio_clip_s=4, overlap_chunk_second=1, min_energy_split_window_size=3)


@given(length=st.integers(1, 300), seed=st.integers(0, 100))
def test_clips_together_are_the_whole_and_none_is_too_long(length: int, seed: int) -> None:
    samples = np.random.default_rng(seed).standard_normal(length).astype(np.float32)
    found = [*clips(samples, CONFIG)]
    assert np.array_equal(np.concatenate([piece for _, piece in found]), samples)
    assert all(len(piece) <= 40 for _, piece in found)
    assert all(len(piece) >= 30 for _, piece in found[:-1])
    assert [first for first, _ in found] == [0, *np.cumsum([len(piece) for _, piece in found])[:-1]]


def test_a_clip_ends_where_it_is_most_quiet() -> None:
    samples = np.ones(70, np.float32)
    samples[33:37] = 0
    assert [first for first, _ in clips(samples, CONFIG)] == [0, 34]


def test_sound_that_is_not_to_be_cut_stays_whole() -> None:
    whole = SpeechToTextConfig(sample_rate=10, max_audio_clip_s=None)
    samples = np.zeros(900, np.float32)
    assert [(first, len(piece)) for first, piece in clips(samples, whole)] == [(0, 900)]


@pytest.mark.parametrize(
    ("name", "subtype", "atol"),
    [
        ("a.flac", None, 1e-4),
        ("a.ogg", None, 0.1),
        ("a.mp3", None, 0.1),
        ("a.wav", "FLOAT", 1e-6),
        ("a.aiff", None, 1e-4),
    ],
)
def test_files_of_other_formats_are_heard(tmp_path: Path, name: str, subtype: str | None, atol: float) -> None:
    at = np.arange(16_000) / 16_000
    samples = np.stack([0.3 * np.sin(2 * np.pi * f * at) for f in (220, 440)]).astype(np.float32)
    soundfile.write(tmp_path / name, samples.T, 16_000, subtype=subtype)
    found, rate = read_sound(tmp_path / name)
    assert (rate, found.dtype, found.shape[0]) == (16_000, np.float32, 2)
    assert float(np.abs(found[:, 4000:12_000] - samples[:, 4000:12_000]).mean()) < atol
