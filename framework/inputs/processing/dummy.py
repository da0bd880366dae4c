"""Inputs that stand in for the largest real ones, while memory is measured and where only sizes count."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from triptych.errors import TriptychWarning
from triptych.inputs.processing.info import BaseProcessingInfo
from triptych.inputs.processing.inputs import ProcessorInputs

Info = TypeVar("Info", bound=BaseProcessingInfo)


class DummySizeWarning(TriptychWarning):
    """An option asks for dummy items larger than the model takes."""


class BaseDummyInputsBuilder(ABC, Generic[Info]):
    """Dummy text and items of one model; together they reach the most placeholders that its items can take."""

    def __init__(self, info: Info) -> None:
        self.info = info

    @abstractmethod
    def get_dummy_text(self, mm_counts: Mapping[str, int]) -> str:
        """A prompt with the target of each of so many items."""

    @abstractmethod
    def get_dummy_mm_data(
        self, seq_len: int, mm_counts: Mapping[str, int], mm_options: Mapping[str, Mapping[str, int]]
    ) -> dict[str, object]:
        """So many items of each modality, each as large as the model takes unless the options make it smaller."""

    def get_dummy_processor_inputs(
        self,
        seq_len: int,
        mm_counts: Mapping[str, int],
        mm_options: Mapping[str, Mapping[str, int]] | None = None,
    ) -> ProcessorInputs:
        """What `apply` of the processor takes."""
        items = self.get_dummy_mm_data(seq_len, mm_counts, mm_options or {})
        parsed = self.info.get_data_parser().parse_mm_data({name: given for name, given in items.items() if given})
        return ProcessorInputs(self.get_dummy_text(mm_counts), parsed)

    def _get_dummy_images(
        self, *, width: int, height: int, num_images: int, options: Mapping[str, int] | None = None
    ) -> list[Image.Image]:
        """White images: one object, repeated."""
        width, height = (_smaller(options, key, most) for key, most in (("width", width), ("height", height)))
        return [Image.new("RGB", (width, height), (255, 255, 255))] * num_images

    def _get_dummy_audios(
        self, *, length: int, num_audios: int, options: Mapping[str, int] | None = None
    ) -> list[NDArray[np.float32]]:
        """Silence of `length` samples: one object, repeated."""
        return [np.zeros(_smaller(options, "length", length), np.float32)] * num_audios

    def _get_dummy_videos(
        self, *, width: int, height: int, num_frames: int, num_videos: int, options: Mapping[str, int] | None = None
    ) -> list[NDArray[np.uint8]]:
        """White videos [frames, height, width, 3]: one object, repeated."""
        sizes = {"num_frames": num_frames, "height": height, "width": width}
        shape = [_smaller(options, key, most) for key, most in sizes.items()]
        return [np.full((*shape, 3), 255, np.uint8)] * num_videos


def _smaller(options: Mapping[str, int] | None, key: str, most: int) -> int:
    """What an option says of a size, which is never more than the most that the model takes."""
    asked = (options or {}).get(key, most)
    if asked > most:
        message = f"dummy items of {key} {asked} are asked for, and {most} is the most that counts; it is {most}"
        warnings.warn(message, DummySizeWarning, stacklevel=4)
    return min(asked, most)
