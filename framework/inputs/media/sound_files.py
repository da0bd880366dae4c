"""Sound in files: plain WAVE files by the standard library, others by the package soundfile where it is installed."""

from __future__ import annotations

import os
import wave
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.errors import InputError

Sound = tuple[NDArray[np.float32], int]
"""Samples [channels, samples] from -1 to 1, and their rate in Hz."""

SoundInput = str | os.PathLike[str] | bytes | NDArray[np.floating[Any]] | Sequence[float] | tuple[Any, int]
"""A file, what is in one, a `data:` URL, a waveform at the model's rate, or a waveform with its rate."""

MAX_SAMPLES = 2**27  # of all channels, before and after resampling: 2.3 hours at 16 kHz
OTHERS = "pip install 'triptych[audio]' reads other formats, or convert it: ffmpeg -i FILE -ar 16000 new.wav"


def read_sound(file: Path | bytes, *, name: str = "") -> Sound:
    """The samples of a file, or of what is in one, called `name` in messages.

    Raises InputError for what is no sound, is cut off, holds none, or is too long.
    """
    name = name or ("sound" if isinstance(file, bytes) else str(file))
    if isinstance(file, Path) and not file.is_file():
        told = "is a folder; give the files in it" if file.is_dir() else "there is no such file"
        raise InputError(told, path=name)
    try:
        with wave.open(str(file) if isinstance(file, Path) else BytesIO(file), "rb") as opened:
            return _samples(opened, name)
    except (wave.Error, EOFError) as error:
        if find_spec("soundfile") is None:
            told = str(error) or "it ends too soon"
            raise InputError(f"is no WAVE file of plain samples ({told}); {OTHERS}", path=name) from error
    return _by_soundfile(file, name)


def _samples(file: wave.Wave_read, name: str) -> Sound:
    frames, channels, width, rate = file.getnframes(), file.getnchannels(), file.getsampwidth(), file.getframerate()
    _check(frames * channels, rate, name)
    raw = file.readframes(frames)
    if (found := len(raw) // (width * channels)) < frames:
        raise InputError(f"ends too soon: it has {found:,} of the {frames:,} samples that it announces", path=name)
    return _floats(raw, width).reshape(-1, channels).T, rate


def _floats(raw: bytes, width: int) -> NDArray[np.float32]:
    """Little-endian whole numbers of so many bytes, of one byte without a sign, as floats from -1 to 1."""
    if width == 1:
        return ((np.frombuffer(raw, np.uint8) - 128.0) / 128).astype(np.float32)
    if width == 3:
        bytes_N3 = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        wide = np.zeros((len(bytes_N3), 4), np.uint8)
        wide[:, 1:] = bytes_N3
        raw, width = wide.tobytes(), 4
    whole = np.frombuffer(raw, f"<i{width}")
    return (whole / 2.0 ** (8 * width - 1)).astype(np.float32)


def _by_soundfile(content: Path | bytes, name: str) -> Sound:
    library: Any = import_module("soundfile")
    try:
        with library.SoundFile(content if isinstance(content, Path) else BytesIO(content)) as file:
            _check(file.frames * file.channels, file.samplerate, name)
            announced = file.frames
            samples, rate = file.read(dtype="float32", always_2d=True), int(file.samplerate)
    except (library.SoundFileError, RuntimeError) as error:
        told = getattr(error, "error_string", error)  # without the file, which is named already
        raise InputError(f"is no sound that can be read: {told}", path=name) from error
    if len(samples) < announced:
        raise InputError(f"ends too soon: it has {len(samples):,} of the {announced:,} samples it announces", path=name)
    return np.ascontiguousarray(samples.T), rate


def _check(samples: int, rate: int, name: str) -> None:
    if not samples:
        raise InputError("has no samples", path=name)
    if samples > MAX_SAMPLES:
        raise InputError(f"has {samples:,} samples at {rate:,} Hz; at most {MAX_SAMPLES:,} are read", path=name)
