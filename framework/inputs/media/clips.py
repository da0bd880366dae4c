"""Long sound in clips, cut where it is most quiet."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from triptych.capabilities import SpeechToTextConfig
from triptych.inputs.media.audio import Waveform


def clips(samples: Waveform, config: SpeechToTextConfig) -> Iterator[tuple[int, Waveform]]:
    """The first sample of each clip and its samples, which together are all.

    A clip that is not the last ends in the last `overlap_chunk_second` of its longest length, in the middle of those
    `min_energy_split_window_size` samples that have the least energy.
    """
    start, clip, window = 0, config.max_audio_clip_s, config.min_energy_split_window_size
    if config.allow_audio_chunking and clip is not None and window is not None:
        longest, looked = clip * config.sample_rate, config.overlap_chunk_second * config.sample_rate
        while len(samples) - start > longest:
            first = start + longest - min(looked, longest - 1)
            stop = first + _quietest(samples[first : start + longest], window)
            yield start, samples[start:stop]
            start = stop
    yield start, samples[start:]


def _quietest(samples: Waveform, window: int) -> int:
    """The middle of the quietest `window` samples, the first of several."""
    window = min(window, len(samples))
    energy = np.cumsum(np.concatenate(([0.0], samples.astype(np.float64) ** 2)))
    return int(np.argmin(energy[window:] - energy[:-window])) + window // 2
