"""Waveforms -> tensors, by the checkpoint's own feature extractor: transformers', and no code of the folder."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from triptych.errors import InputError, TriptychWarning
from triptych.inputs.media import accepted_kwargs
from triptych.inputs.media.audio import Waveform
from triptych.inputs.media.calling import as_arguments
from triptych.inputs.processing.unusable import unusable


class SoundCutWarning(TriptychWarning):
    """A sound is longer than the model hears: its end is left out."""


class FeatureExtractor:
    """The feature extractor of a checkpoint folder. `config` is what it was set to, `rate` the Hz that it takes."""

    def __init__(self, extractor: Any, *, origin: str) -> None:
        self._extractor = extractor
        self.origin = origin
        self.config: Mapping[str, Any] = extractor.to_dict()
        self.rate = int(extractor.sampling_rate)

    def __call__(self, samples: Waveform, *, name: str, **keywords: Any) -> Tensor:
        """One waveform, alone, as [channels, frames]. `name` is for errors.

        Warns of one whose end it leaves out. Raises InputError when it refuses a waveform, or gives something else.
        """
        self._warn(len(samples), name, keywords)
        given = {"sampling_rate": self.rate, "return_tensors": "pt", **keywords}
        try:
            found = self._extractor(np.asarray(samples), **given)["input_features"]
        except Exception as error:  # whatever an extractor raises is about this waveform under these settings
            under = "; ".join(filter(None, (self.origin, as_arguments(keywords))))
            raise InputError(f"the feature extractor ({under}) refuses it: {error}", path=name) from error
        if not isinstance(found, Tensor) or found.ndim != 3 or len(found) != 1:
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            told = f"the feature extractor ({self.origin}) gives {shape}, and [1, channels, frames] is needed"
            raise InputError(told, path=name)
        return found[0]

    def _warn(self, samples: int, name: str, keywords: Mapping[str, Any]) -> None:
        most = keywords.get("max_length") or self.config.get("n_samples")
        if keywords.get("truncation", True) and most is not None and samples > most:
            heard = f"has {samples / self.rate:g} s, of which the first {most / self.rate:g} are heard"
            warnings.warn(f"{name}: {heard}; give the rest as another sound", SoundCutWarning, stacklevel=2)

    def accepted(self, keywords: Mapping[str, object]) -> dict[str, object]:
        """The keywords that it takes; it warns of others."""
        return accepted_kwargs(self._extractor, keywords)


def load_feature_extractor(folder: Path) -> FeatureExtractor:
    """The feature extractor of a checkpoint folder. Raises CheckpointError when it has none that can be used."""
    from transformers import AutoFeatureExtractor

    load: Callable[..., Any] = AutoFeatureExtractor.from_pretrained
    try:
        found = load(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # whatever a missing or broken file makes transformers raise
        raise unusable(folder, what="feature extractor", error=error) from error
    return FeatureExtractor(found, origin=str(folder))
