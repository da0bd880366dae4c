"""What is known of an item before it is prepared: enough to tell its grid, and so its number of tokens. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ProcessorConfig = Mapping[str, Any]
"""What the checkpoint's processor of that modality was set to; empty where there is none."""

UNKNOWN = 24.0  # frames a second of a video that does not say how many


@dataclass(frozen=True)
class ImageFacts:
    """Pixels of an image."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.height} x {self.width}"


@dataclass(frozen=True)
class VideoFacts:
    """Frames of a video, pixels of each, and how many are shown in a second, where that is known.

    `times` are the seconds at which they are shown; without these they follow each other evenly.
    """

    frames: int
    height: int
    width: int
    fps: float | None = None
    times: tuple[float, ...] = ()

    def moments(self, together: int) -> tuple[float, ...]:
        """The seconds in the middle of each moment of `together` frames, of which the last may be shown again."""
        times: Sequence[float] = self.times or [n / (self.fps or UNKNOWN) for n in range(self.frames)]
        whole = [*times, *[times[-1]] * (-len(times) % together)]
        return tuple((whole[n] + whole[n + together - 1]) / 2 for n in range(0, len(whole), together))

    def __str__(self) -> str:
        return f"{self.frames} frames of {self.height} x {self.width}"


@dataclass(frozen=True)
class AudioFacts:
    """Samples of a waveform at the rate that the model takes."""

    samples: int

    def __str__(self) -> str:
        return f"{self.samples} samples"


ItemFacts = ImageFacts | VideoFacts | AudioFacts
