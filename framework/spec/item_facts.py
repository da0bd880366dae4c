"""What is known of an item before it is prepared: enough to tell its grid, and so its number of tokens. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ProcessorConfig = Mapping[str, Any]
"""What the checkpoint's processor of that modality was set to; empty where there is none."""


@dataclass(frozen=True)
class ImageFacts:
    """Pixels of an image."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.height} x {self.width}"


@dataclass(frozen=True)
class VideoFacts:
    """Frames of a video, pixels of each, and how many are shown in a second, where that is known."""

    frames: int
    height: int
    width: int
    fps: float | None = None

    def __str__(self) -> str:
        return f"{self.frames} frames of {self.height} x {self.width}"


@dataclass(frozen=True)
class AudioFacts:
    """Samples of a waveform at the rate that the model takes."""

    samples: int

    def __str__(self) -> str:
        return f"{self.samples} samples"


ItemFacts = ImageFacts | VideoFacts | AudioFacts
