"""Video in files, by the package av: of all frames only those that are kept are made pictures of."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.errors import InputError
from triptych.inputs.images import check_size
from triptych.inputs.media.video_bounds import check_length
from triptych.inputs.media.video_faults import MENDED, told
from triptych.spec.item_facts import VideoFacts

VideoFile = str | os.PathLike[str] | bytes
"""Where a video is kept, or what is kept there."""

Choose = Callable[[VideoFacts], Sequence[int]]
"""From what is known of a video to the frames of it that are taken, counted from 0, in their order."""

FORMATS = "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,ivf,gif"  # none that names other files to open
MAX_SECONDS = 12 * 3600
MAX_COUNTED = 2**20  # frames of a file, kept or not
MISSING = 0.5  # seconds at the end of a stream that may be without frames
NEEDED = "is a file of video, which needs the package av; pip install 'triptych[video]', or give its frames"
FEWER = "; of a file fewer are taken where num_frames or fps is asked for"


def every_frame(video: VideoFacts) -> Sequence[int]:
    """All there are."""
    return range(video.frames)


def read_video(
    file: VideoFile, *, choose: Choose = every_frame, name: str
) -> tuple[NDArray[np.uint8], Mapping[str, object]]:
    """The frames of a file that `choose` takes [frames, height, width, 3], upright, and how they were taken.

    That is, beside `fps` (of the whole), `total_num_frames`, `duration` (seconds), `height` and `width`:
    `frames_indices`, the numbers of the frames, and `timestamps`, the seconds at which they are shown. Raises
    InputError for a missing package, for what is no video or is damaged, and, before a frame is decoded, for one that
    is cut off, has no frames, or is too long or too large.
    """
    if not isinstance(file, bytes) and not Path(file).is_file():
        raise InputError("there is no such file", path=name)
    facts = _count(file, name)
    check_length(min(facts.frames, 1), 1, name)
    indices = [*choose(facts)]
    check_length(len(indices), facts.height * facts.width, name, advice=FEWER)
    frames, times = _decode(file, indices, total=facts.frames, name=name)
    height, width = frames.shape[1:3]
    known = {
        "total_num_frames": facts.frames,
        "fps": facts.fps,
        "duration": facts.frames / facts.fps if facts.fps else None,
    }
    return frames, {**known, "height": height, "width": width, "frames_indices": indices, "timestamps": times}


@contextmanager
def _opened(file: VideoFile, name: str) -> Iterator[tuple[Any, Any]]:
    """The container and its video stream. Whatever a decoder raises is told as InputError."""
    try:
        library: Any = import_module("av")
    except ImportError as error:
        raise InputError(NEEDED, path=name) from error
    size, is_open = len(file) if isinstance(file, bytes) else os.stat(file).st_size, False
    try:
        source = BytesIO(file) if isinstance(file, bytes) else open(file, "rb")  # noqa: SIM115  (closed below)
        with source, library.open(source, options={"format_whitelist": FORMATS}) as container:
            is_open = True
            if not container.streams.video:
                raise InputError(
                    "holds no video; sound goes in as audio, and what is cut off may have lost it", path=name
                )
            yield container, container.streams.video[0]
    except InputError:
        raise
    except Exception as error:  # decoders raise ValueError, EOFError, MemoryError, ...
        raise InputError(told(error, size=size, is_open=is_open), path=name) from error


def _count(file: VideoFile, name: str) -> VideoFacts:
    """What a file holds, by its packets, none of which is decoded."""
    with _opened(file, name) as (container, stream):
        height, width = stream.codec_context.height, stream.codec_context.width
        check_size(height, width, name=name)
        if (lasts := (container.duration or 0) / 1e6) > MAX_SECONDS:
            raise InputError(f"lasts {lasts:,.0f} seconds; at most {MAX_SECONDS:,} are read", path=name)
        frames, end = 0, 0.0
        for frames, shown in enumerate(_ends(container, stream), 1):
            if frames > MAX_COUNTED:
                raise InputError(f"has more than {MAX_COUNTED:,} frames, which is the most that is read", path=name)
            end = max(end, shown)
        _check_whole(stream, frames, end, name)
        rate = stream.average_rate or stream.guessed_rate
        return VideoFacts(frames, height, width, float(rate) if rate else None)


def _ends(container: Any, stream: Any) -> Iterator[float]:
    """For each frame of a stream the second at which the next is shown, as they lie in the file."""
    for packet in container.demux(stream):
        if packet.size and not packet.is_corrupt:  # the last one has nothing in it
            yield float(((packet.pts or 0) + (packet.duration or 0)) * packet.time_base)


def _check_whole(stream: Any, frames: int, end: float, name: str) -> None:
    """Raise InputError for a stream with fewer frames, or that ends earlier, than it announces."""
    if stream.frames > frames:
        found = f"{frames:,} of the {stream.frames:,} frames that it announces"
        raise InputError(f"ends too soon: it has {found}{MENDED}", path=name)
    if (announced := _seconds(stream.metadata.get("DURATION", ""))) > end + MISSING:
        found = f"{end:.1f} of the {announced:.1f} seconds that it announces"
        raise InputError(f"ends too soon: it has {found}{MENDED}", path=name)


def _seconds(text: str) -> float:
    """Of `00:01:02.5`, as Matroska files say how long a stream is; 0 for anything else."""
    try:
        hours, minutes, seconds = text.split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    except ValueError:
        return 0.0


def _decode(file: VideoFile, indices: Sequence[int], *, total: int, name: str) -> tuple[NDArray[np.uint8], list[float]]:
    """The frames of these numbers [frames, height, width, 3], and the seconds at which they are shown."""
    found: NDArray[np.uint8] | None = None
    times: list[float] = []
    with _opened(file, name) as (container, stream):
        stream.thread_type = "AUTO"
        for number, frame in enumerate(container.decode(stream)):
            while len(times) < len(indices) and indices[len(times)] == number:
                pixels = _upright(frame)
                found = np.empty((len(indices), *pixels.shape), np.uint8) if found is None else found
                if pixels.shape != found.shape[1:]:
                    raise InputError(f"changes its size at frame {number}; frames of one size are needed", path=name)
                found[len(times)] = pixels
                times.append(float(frame.time or 0))
            if len(times) == len(indices):
                break
    if found is None or len(times) < len(indices):
        read = f"frame {indices[len(times)]} cannot be read, of {total:,} that the file has"
        raise InputError(f"is damaged: {read}{MENDED}", path=name)
    return found, times


def _upright(frame: Any) -> NDArray[np.uint8]:
    """[height, width, 3] in RGB, turned as the file says how the camera was held."""
    pixels: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
    return np.rot90(pixels, round(frame.rotation / 90))
