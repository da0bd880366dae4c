"""Videos of a prompt: files, frames as images or as one array, and what is known of how they were taken."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from triptych.errors import InputError, InputTypeError
from triptych.inputs.images import channels_last, is_image_file, open_image
from triptych.inputs.media.images import ImageSize
from triptych.inputs.media.items import ProcessorItems
from triptych.inputs.media.originals import Original, OriginalsRead
from triptych.inputs.media.reading import Array, first_given, form, is_array, is_list, read_each
from triptych.inputs.media.video_bounds import check_length
from triptych.inputs.media.video_files import Choose, every_frame, read_video
from triptych.spec.item_facts import UNKNOWN


@dataclass(frozen=True, eq=False)
class Video:
    """`frames` [frames, height, width, 3] in RGB; `metadata` as it was given: frames per second, indices, ..."""

    frames: NDArray[np.uint8]
    metadata: Mapping[str, object] | None = None

    @property
    def fps(self) -> float | None:
        """How many of these frames are shown in a second, where that is known: of a whole video some may be taken."""
        total, fps = (self.metadata or {}).get("total_num_frames"), self._rate
        if fps is not None and self.indices and isinstance(total, int) and total > 0:
            return len(self.indices) / total * fps
        return fps

    @property
    def times(self) -> tuple[float, ...]:
        """The seconds at which the frames are shown, by their numbers in the whole; none where these are not known."""
        return tuple(index / (self._rate or UNKNOWN) for index in self.indices)

    @property
    def indices(self) -> Sequence[int]:
        """The numbers of the frames in the whole; none where these are not known."""
        given = (self.metadata or {}).get("frames_indices")
        if isinstance(given, np.ndarray | Tensor):
            given = given.tolist()
        return given if isinstance(given, list | tuple) else ()

    @property
    def _rate(self) -> float | None:
        """Frames a second of the whole."""
        fps = (self.metadata or {}).get("fps")
        return None if isinstance(fps, bool) or not isinstance(fps, int | float) or fps <= 0 else float(fps)


class VideoProcessorItems(ProcessorItems[Video]):
    """Videos, given to the extractor with their metadata only where the model needs them."""

    key: ClassVar[str] = "videos"

    def __init__(
        self,
        items: Sequence[Video | Original[Video] | None],
        *,
        modality: str = "video",
        with_metadata: bool = False,
    ) -> None:
        super().__init__(items, modality=modality)
        self.with_metadata = with_metadata

    def get_num_frames(self, index: int) -> int:
        """How many frames a video has. Raises InputError for one that is known by its id alone."""
        return len(self.given(index).frames)

    def get_frame_size(self, index: int) -> ImageSize:
        """Width and height of the frames. Raises InputError for a video that is known by its id alone."""
        _, height, width, _ = self.given(index).frames.shape
        return ImageSize(width, height)

    def get_processor_data(self) -> Mapping[str, object]:
        videos = self._all_given()
        data: dict[str, object] = {self.key: [video.frames for video in videos]} if videos else {}
        if videos and self.with_metadata:
            data["video_metadata"] = [video.metadata for video in videos]
        return data


def read_videos(
    data: object,
    *,
    needs_metadata: bool = False,
    choose: Choose = every_frame,
    modality: str = "video",
    originals: OriginalsRead | None = None,
) -> VideoProcessorItems:
    """One video, or a list of them: a file, a list of frames, an array of bytes [frames, ...], or `(frames, metadata)`.

    A file, or what is in one as `bytes`, brings its metadata; `choose` says which of its frames are taken. Files of
    pictures in a list are frames. A file of the `originals` is read when it is asked for. Raises InputError with every
    video that is none, that is too long or too large, or that lacks metadata where the model needs them.
    """
    entries = data if is_list(data) and not _is_one(data) else [data]
    read = partial(_read, needs_metadata=needs_metadata, choose=choose, originals=originals or OriginalsRead())
    videos = read_each(entries, read, modality=modality)
    return VideoProcessorItems(videos, modality=modality, with_metadata=needs_metadata)


def _is_one(data: Sequence[object]) -> bool:
    first = first_given(data)
    return _has_metadata(data) or is_image_file(first) or isinstance(first, Image.Image) or is_array(first, 3)


def _has_metadata(data: object) -> bool:
    return isinstance(data, tuple) and len(data) == 2 and isinstance(data[1], Mapping)


def _read(
    entry: object, name: str, *, needs_metadata: bool, choose: Choose, originals: OriginalsRead
) -> Video | Original[Video]:
    if isinstance(entry, str | os.PathLike | bytes):
        content = entry if isinstance(entry, bytes) else Path(entry)
        read = partial(read_video, content, choose=choose, name=name)
        return originals.item(content, lambda: Video(*read()), modality="video", name=name)
    return _from_memory(entry, name, needs_metadata=needs_metadata)


def _from_memory(entry: object, name: str, *, needs_metadata: bool) -> Video:
    frames, metadata = entry if isinstance(entry, tuple) and _has_metadata(entry) else (entry, None)
    if isinstance(frames, str | os.PathLike | bytes):
        raise InputError("is a file with metadata, and a file brings its own; give it alone", path=name)
    if needs_metadata and metadata is None:
        raise InputError("has no metadata, and this model needs them; give (frames, metadata)", path=name)
    if is_array(frames):
        return _numbered(Video(_from_array(frames, name), metadata), name)
    if is_list(frames):
        return _numbered(Video(_from_frames(frames, name), metadata), name)
    wanted = "a file, a list of frames, an array of bytes [frames, height, width, channels] or (frames, metadata)"
    raise InputTypeError(f"is {type(frames).__name__}; {wanted} is needed", path=name)


def _numbered(video: Video, name: str) -> Video:
    """Raises InputError for metadata that give other numbers of frames than there are."""
    if video.indices and len(video.indices) != len(video.frames):
        found = f"{len(video.frames)} frames, and its metadata {len(video.indices)} frames_indices"
        raise InputError(f"has {found}; give one of each frame, or none", path=name)
    return video


def _from_array(frames: Array, name: str) -> NDArray[np.uint8]:
    """A view of what has colours: alpha is left out, and grey is shown three times, as Pillow does it."""
    if frames.ndim != 4:
        raise InputError(f"is {form(frames)}; bytes (uint8) [frames, height, width, channels] are needed", path=name)
    pixels = channels_last(np.asarray(frames.cpu() if isinstance(frames, Tensor) else frames), name=name)
    check_length(len(pixels), pixels.shape[1] * pixels.shape[2], name)
    return pixels.repeat(3, axis=-1) if pixels.shape[-1] == 1 else pixels[..., :3]


def _from_frames(frames: Sequence[object], name: str) -> NDArray[np.uint8]:
    check_length(len(frames), 1, name)
    first = open_image(frames[0], name=f"{name}: frame 0")
    check_length(len(frames), first.width * first.height, name)
    found = np.empty((len(frames), first.height, first.width, 3), np.uint8)
    for index, frame in enumerate(frames):
        image = open_image(frame, name=f"{name}: frame {index}")
        if image.size != first.size:
            sizes = f"is {image.width} x {image.height}, and frame 0 is {first.width} x {first.height}"
            raise InputError(f"frame {index} {sizes}; frames of one size are needed", path=name)
        found[index] = np.asarray(image)
    return found
