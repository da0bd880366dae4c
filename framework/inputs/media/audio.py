"""Audio of a prompt: waveforms, alone or with the rate they were taken at, read as one channel at the model's rate."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, TypeGuard

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from triptych.errors import InputError, short
from triptych.inputs.media.items import ProcessorItems
from triptych.inputs.media.originals import Original, OriginalsRead
from triptych.inputs.media.reading import first_given, form, is_list, read_each
from triptych.inputs.media.resample import resample, resampled_length
from triptych.inputs.media.sound_files import MAX_SAMPLES, read_sound
from triptych.inputs.nested import NestedTensors, as_tensors

Waveform = NDArray[np.float32]
"""[samples], one channel, about -1 to 1."""

MAX_CHANNELS = 16
MAX_RATE = 384_000
NUMBER = int | float | np.integer | np.floating


class AudioProcessorItems(ProcessorItems[Waveform]):
    """Waveforms at the rate that the model takes."""

    key: ClassVar[str] = "audio"

    def get_audio_length(self, index: int) -> int:
        """How many samples a waveform has. Raises InputError for one that is known by its id alone."""
        return len(self.given(index))


def read_audio(
    data: object, *, target_sr: int | None = None, modality: str = "audio", originals: OriginalsRead | None = None
) -> AudioProcessorItems:
    """One sound or a list of them: a file, a list of floats, [samples], or `(waveform, rate)` of one channel or more.

    What is in a file may come as bytes. What comes with a rate is brought to `target_sr`. A file of the `originals` is
    read when it is asked for. Raises InputError with every waveform that is none, is too long, or has a rate that
    cannot be brought to the model's.
    """
    entries = data if is_list(data) and not _is_one(data) else [data]
    read = partial(_read, target_sr=target_sr, originals=originals or OriginalsRead())
    waveforms = read_each(entries, read, modality=modality)
    return AudioProcessorItems(waveforms, modality=modality)


def has_rate(data: object) -> TypeGuard[tuple[object, float]]:
    """Whether data are one waveform with its rate."""
    return (
        isinstance(data, tuple) and len(data) == 2 and isinstance(data[1], NUMBER) and not isinstance(data[0], NUMBER)
    )


def _is_one(data: Sequence[object]) -> bool:
    return has_rate(data) or isinstance(first_given(data), NUMBER)


def _read(
    entry: object, name: str, *, target_sr: int | None, originals: OriginalsRead
) -> Waveform | Original[Waveform]:
    if not isinstance(entry, str | os.PathLike | bytes):
        return _waveform(entry, name, target_sr)
    file = entry if isinstance(entry, bytes) else Path(entry)
    return originals.item(file, lambda: _heard(file, name, target_sr), modality="audio", name=name)


def _heard(file: Path | bytes, name: str, target_sr: int | None) -> Waveform:
    return _waveform(read_sound(file, name=name), name, target_sr)


def _waveform(entry: object, name: str, target_sr: int | None) -> Waveform:
    if not has_rate(entry):
        return _samples(entry, name, ndims=(1,))[0].numpy()
    channels = _samples(entry[0], name, ndims=(1, 2))
    if target_sr is None:
        raise InputError("has a rate, and this model states none to bring it to; give the waveform alone", path=name)
    rate = _rate(entry[1], name)
    _check_length(resampled_length(channels.shape[1], rate_in=rate, rate_out=target_sr), name)
    return resample(channels.mean(0), rate_in=rate, rate_out=target_sr).numpy()


def _samples(waveform: object, name: str, *, ndims: tuple[int, ...]) -> Tensor:
    """[channels, samples] in float32."""
    if is_list(waveform):
        _check_length(len(waveform), name)
    found = as_tensors(waveform, name)
    wanted = "[samples]" if ndims == (1,) else "[samples] or [channels, samples]"
    if not isinstance(found, Tensor) or found.ndim not in ndims:
        raise InputError(f"is {_form(found)}; a waveform is {wanted}", path=name)
    if not found.is_floating_point():
        told = "samples are floats from -1 to 1, so whole numbers are divided by the largest of their type"
        raise InputError(f"is {form(found)}; {told}", path=name)
    _check_length(found.numel(), name)
    channels = _channels_first(found.detach().cpu(), name).float()
    if not channels.isfinite().all():
        raise InputError("has samples that are not finite", path=name)
    return channels


def _form(found: NestedTensors) -> str:
    return form(found) if isinstance(found, Tensor) else "a list of something else than numbers"


def _channels_first(samples: Tensor, name: str) -> Tensor:
    """Of two dims the shorter one are the channels, the first if both are alike."""
    found = samples if samples.ndim == 2 else samples[None]
    found = found.T if found.shape[1] < found.shape[0] else found
    if len(found) > MAX_CHANNELS:
        raise InputError(f"is {form(samples)}; at most {MAX_CHANNELS} channels are read", path=name)
    return found


def _rate(rate: float, name: str) -> int:
    if not 1 <= rate <= MAX_RATE or rate != int(rate):
        raise InputError(
            f"has the rate {short(rate)}; a whole number of Hz from 1 to {MAX_RATE:,} is wanted", path=name
        )
    return int(rate)


def _check_length(samples: int, name: str) -> None:
    if not samples:
        raise InputError("has no samples", path=name)
    if samples > MAX_SAMPLES:
        raise InputError(f"has {samples:,} samples; at most {MAX_SAMPLES:,} are read", path=name)
