"""What is wrong with a file of video that no decoder takes, in words."""

from __future__ import annotations

KINDS = "mp4, mov, mkv, webm, avi, ts, mpeg, flv, wmv, ogg, ivf or gif"
MENDED = "; ffmpeg -i FILE new.mp4 writes anew what can be read"


def told(error: Exception, *, size: int, is_open: bool) -> str:
    """What a decoder's error means for a file of `size` bytes, of which the head could be read if it `is_open`."""
    if isinstance(error, MemoryError):
        return "takes more memory to decode than there is; give fewer or smaller frames"
    if isinstance(error, PermissionError):
        return "may not be opened; give who runs this the right to read it"
    if is_open:
        return f"is damaged, or coded in a way that the package av does not know{MENDED}"
    found = f"its {size:,} bytes begin like no {KINDS}, or have lost what tells how to read them"
    return f"is no video that can be read: {found if size else 'it is empty'}{MENDED if size else '; give another'}"
