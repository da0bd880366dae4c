"""From what is known of a waveform to the grid of its rows. No torch: rows are counted by it."""

from __future__ import annotations

from pydantic import PositiveInt

from triptych.errors import InputError
from triptych.parts.grid import Grid
from triptych.spec.base import PartSpec, Width
from triptych.spec.item_facts import AudioFacts, ItemFacts, ProcessorConfig

HOP = 160  # samples from one frame to the next, where the checkpoint's processor does not say


class AudioFrames(PartSpec):
    """Every waveform becomes `frames` frames: silence fills a shorter one, and nobody hears the end of a longer one.

    Each `stride` of them give a row.
    """

    frames: Width
    stride: PositiveInt = 1

    def largest(self, modality: str, processor: ProcessorConfig) -> ItemFacts:  # noqa: ARG002
        """Of a waveform that fills all frames."""
        return AudioFacts(self.frames * int(processor.get("hop_length", HOP)))

    def __call__(self, item: ItemFacts, processor: ProcessorConfig) -> Grid:  # noqa: ARG002
        """The grid of a waveform. Raises InputError for anything else."""
        if not isinstance(item, AudioFacts):
            raise InputError(f"an item of {item}; this tower takes audio")
        return Grid(-(-self.frames // self.stride), 1, 1)
