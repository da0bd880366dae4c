"""How a speech model wants its audio cut, and what one request of it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NotRequired, Protocol, TypedDict

if TYPE_CHECKING:
    import numpy as np

SpeechTask = Literal["transcribe", "translate"]


@dataclass(frozen=True)
class SpeechToTextConfig:
    """Rates, and lengths of clips. Audio longer than a clip is cut where it is most quiet, near the end of the clip."""

    sample_rate: int = 16_000
    """Samples a second."""
    max_audio_clip_s: int | None = 30
    """Seconds of a clip; None: audio goes in whole."""
    overlap_chunk_second: int = 1
    """Seconds at the end of a clip in which the place to cut is looked for."""
    min_energy_split_window_size: int | None = 1_600
    """Samples over which quiet is measured; None: audio goes in whole."""

    @property
    def allow_audio_chunking(self) -> bool:
        """Whether longer audio is cut: clip and window are both set."""
        return self.max_audio_clip_s is not None and self.min_energy_split_window_size is not None


@dataclass(frozen=True, eq=False)
class SpeechToTextParams:
    """One request: samples [n] at the config's rate, in which language, to be transcribed or translated."""

    audio: np.ndarray
    stt_config: SpeechToTextConfig
    model_config: Any
    language: str | None = None
    task_type: SpeechTask = "transcribe"
    request_prompt: str = ""
    to_language: str | None = None
    timestamps: bool = False
    """Whether the model is to mark when segments begin and end."""


class SpeechPrompt(TypedDict):
    """What a model begins with whose prompt has places for items, special tokens and all, and these by modality."""

    prompt: str | Sequence[int]
    multi_modal_data: Mapping[str, object]


class ExplicitEncoderDecoderPrompt(TypedDict):
    """What the encoder reads and what the decoder begins with: text, token ids, or a mapping with items beside them."""

    encoder_prompt: str | Sequence[int] | Mapping[str, object]
    decoder_prompt: str | Sequence[int] | Mapping[str, object] | None
    mm_processor_kwargs: NotRequired[Mapping[str, object]]


@dataclass(frozen=True)
class DiarizedSegment:
    """What one speaker says from second `start` to second `end`."""

    start: float
    end: float
    speaker: str
    text: str


class StreamingPostProcessor(Protocol):
    """Cleans a transcript piece by piece; one instance a stream."""

    def process_delta(self, delta: str, finished: bool) -> str:
        """The clean text that can be given out now that `delta` has come; all that was held back when `finished`."""
        ...


class Verbatim:
    """A stream's pieces as they are."""

    def process_delta(self, delta: str, finished: bool) -> str:  # noqa: ARG002
        return delta
