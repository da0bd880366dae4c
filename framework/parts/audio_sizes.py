"""From what is known of a waveform to the grid of its rows. No torch: rows are counted by it."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from triptych.errors import InputError
from triptych.parts.grid import Grid
from triptych.spec.base import PartSpec, Width
from triptych.spec.item_facts import AudioFacts, ItemFacts, ProcessorConfig

HOP = 160  # samples from one frame to the next, where the checkpoint's processor does not say


class AudioFrames(PartSpec):
    """A waveform is heard in at most `clips` of `frames` frames, of which each `stride` give a row.

    A waveform that is longer than several clips is refused; of one that is longer than a single clip nobody hears the
    end. `silence` fills the last clip and is `heard` as sound is; or fills it and gives no rows, for which the tower is
    `told` how many there are; or it is `absent`, and the clip ends with the sound.
    """

    frames: Width
    stride: PositiveInt = 1
    clips: PositiveInt = Field(1, le=2**16)
    silence: Literal["heard", "told", "absent"] = "heard"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.silence == "told" and self.clips > 1:
            raise ValueError(f"silence is told of one clip alone, not of {self.clips}")
        return self

    @property
    def told(self) -> type[Grid] | None:
        """What the tower is told beside an item."""
        return Grid if self.silence == "told" else None

    @property
    def keywords(self) -> dict[str, object]:
        """What the checkpoint's processor is told, which by itself makes one clip that is full."""
        if self.clips == 1 and self.silence != "absent":
            return {}
        whole = HOP * (self.frames if self.silence == "heard" else 1)
        return {"truncation": self.clips == 1, "padding": "longest", "pad_to_multiple_of": whole}

    def largest(self, modality: str, processor: ProcessorConfig) -> ItemFacts:  # noqa: ARG002
        """Of a waveform that fills all clips."""
        return AudioFacts(self.clips * self.frames * _hop(processor))

    def __call__(self, item: ItemFacts, processor: ProcessorConfig) -> Grid:
        """The grid of a waveform. Raises InputError for anything else, and for one of too many clips."""
        if not isinstance(item, AudioFacts):
            raise InputError(f"an item of {item}; this tower takes audio")
        whole, rest = divmod(self._heard(item, _hop(processor)), self.frames)
        return Grid(whole * -(-self.frames // self.stride) - (-rest // self.stride), 1, 1)

    def _heard(self, item: AudioFacts, hop: int) -> int:
        """Frames of all clips, with the silence that counts."""
        sounding, most = -(-item.samples // hop), self.clips * self.frames
        if sounding > most and self.clips > 1:
            raise InputError(f"an item of {item}; this model hears {most * hop} at the most")
        if self.silence == "heard":
            return -(-min(sounding, most) // self.frames) * self.frames
        return min(sounding, most)


def _hop(processor: ProcessorConfig) -> int:
    return int(processor.get("hop_length", HOP))
