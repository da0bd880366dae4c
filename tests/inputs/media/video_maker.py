"""Small videos for the tests, written by av: each frame has a shade of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

SHADE = 12  # between two frames; what compression changes is less


def shades(count: int) -> list[int]:
    """The grey of each frame."""
    return [SHADE * number % 256 for number in range(count)]


def write_video(
    path: Path,
    frames: int | NDArray[np.uint8] = 20,
    *,
    rate: int = 10,
    size: tuple[int, int] = (48, 64),
    rotation: int | None = None,
    times: Sequence[int] = (),
    front: bool = False,
) -> Path:
    """`frames` shades of grey of `size` (height, width), or the frames [n, height, width, 3] without any loss.

    `times` are the numbers of the ticks, `rate` a second, at which frames are shown; `rotation` how far they are to be
    turned to the left; with `front` the index of a file stands before its frames.
    """
    pixels = (
        frames if not isinstance(frames, int) else np.stack([np.full((*size, 3), s, np.uint8) for s in shades(frames)])
    )
    codec, pix_fmt = ("mpeg4", "yuv420p") if isinstance(frames, int) else ("ffv1", "bgr0")
    if path.suffix == ".mov":  # which holds no ffv1
        codec, pix_fmt = "png", "rgb24"
    with av.open(str(path), "w", options={"movflags": "faststart"} if front else {}) as container:
        stream = container.add_stream("gif" if path.suffix == ".gif" else codec, rate=rate)
        stream.height, stream.width = pixels.shape[1:3]
        stream.pix_fmt = "rgb8" if path.suffix == ".gif" else pix_fmt
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for number, each in enumerate(pixels):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(each), format="rgb24")
            frame.pts = times[number] if times else number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
