"""The largest video that a prompt holds: what dummy inputs and budgets go by."""

from __future__ import annotations

from triptych.inputs.media.video_bounds import MAX_FRAMES, MAX_VIDEO_PIXELS
from triptych.spec.item_facts import ItemFacts, ProcessorConfig, VideoFacts
from triptych.spec.tokens import TokenRule


def largest_video(
    rule: TokenRule, processor: ProcessorConfig, *, bound: int | None, room: int | None = None
) -> ItemFacts:
    """The facts of one that takes the most of those of up to `bound` frames, None for all that are read.

    One that takes more than `room` tokens does not count, unless each moment by itself does: of a video that is too
    long for a prompt as many frames are left as it holds.
    """
    one = rule.largest(processor)
    if not isinstance(one, VideoFacts):
        return one
    first = rule.together or 1
    found = VideoFacts(first, one.height, one.width)
    most = rule.count(found, processor)
    longest = min(bound or MAX_FRAMES, MAX_FRAMES if room is None else room * first)  # a moment takes one, or more
    for frames in range(first + 1, longest + 1):
        of_so_many = rule.largest_of
        video = of_so_many(frames, processor) if of_so_many else VideoFacts(frames, one.height, one.width)
        is_read = frames * video.height * video.width <= MAX_VIDEO_PIXELS
        if is_read and most < (taken := rule.count(video, processor)) and (room is None or taken <= room):
            found, most = video, taken
    return found
