"""How much of a video is read."""

from __future__ import annotations

from triptych.errors import InputError

MAX_FRAMES = 16_384
MAX_VIDEO_PIXELS = 2**30  # of all frames together; three bytes each


def check_length(frames: int, pixels: int, name: str, *, advice: str = "") -> None:
    """Raise InputError, with `advice`, for no frames, or more than are read, or than of `pixels` each are."""
    if not frames:
        raise InputError("has no frames", path=name)
    if frames > MAX_FRAMES:
        raise InputError(f"has {frames:,} frames; at most {MAX_FRAMES:,} are read{advice}", path=name)
    if (total := frames * pixels) > MAX_VIDEO_PIXELS:
        raise InputError(f"has {total:,} pixels in all; at most {MAX_VIDEO_PIXELS:,} are read{advice}", path=name)
