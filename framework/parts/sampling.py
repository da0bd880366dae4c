"""Which frames of a file of video are taken. No torch: nothing is decoded yet.

A part of the kind `sampling` is called with what is known of the whole video and the config of the checkpoint's
processor of videos, whose word goes first: `num_frames`, or `fps` a second, and what else a part reads of it. It gives
the numbers of the frames, from 0, in their order. `bound(processor)` is the most that it takes of any video, where it
has it; None where nothing but the video bounds them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

from pydantic import Field, FiniteFloat, PositiveInt, model_validator

from triptych.errors import InputError, OptionError, short
from triptych.spec.base import PartSpec
from triptych.spec.item_facts import ProcessorConfig, VideoFacts


class Uniform(PartSpec):
    """`num_frames` frames as far apart as they can be, or as many as make `fps` a second; else all.

    A video that has fewer gives all that it has.
    """

    num_frames: PositiveInt | None = None
    fps: FiniteFloat | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _asks_for_one(self) -> Self:
        if self.num_frames and self.fps:
            raise ValueError("num_frames and fps say two things of one number")
        return self

    def __call__(self, video: VideoFacts, processor: ProcessorConfig) -> Sequence[int]:
        """Frame floor(i * frames / n) for each i of n. Raises as `_asked` does."""
        number, fps = self._asked(processor)
        if fps is not None:
            number = max(1, int(_at(fps, video)))
        return _apart(video.frames, video.frames if number is None else number)

    def bound(self, processor: ProcessorConfig) -> int | None:
        """The most frames that it takes; None for any number. Raises as `_asked` does."""
        return self._asked(processor)[0]

    def _asked(self, processor: ProcessorConfig) -> tuple[int | None, float | None]:
        """A number of frames, or frames a second; none of the two for all.

        Raises OptionError for two of them, and for one that is no number above 0.
        """
        given = {name: value for name in ("num_frames", "fps") if (value := processor.get(name)) is not None}
        if len(given) > 1:
            raise OptionError("num_frames and fps say two things of one number; leave one of them out", path="videos")
        for name, value in given.items():
            kinds = int if name == "num_frames" else int | float
            if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value < 2**31:
                raise OptionError(f"is {short(value)}; a number above 0 is wanted", path=f"videos.{name}")
        return (given.get("num_frames"), given.get("fps")) if given else (self.num_frames, self.fps)


class Moments(Uniform):
    """As `uniform`, in whole moments of `together` frames each, and by `fps` between `fewest` and `most` frames.

    The processor says the last two as `min_frames` and `max_frames`.
    """

    together: PositiveInt = 1
    fewest: PositiveInt = 1
    most: PositiveInt = 768

    def __call__(self, video: VideoFacts, processor: ProcessorConfig) -> Sequence[int]:
        """Of a video without a whole moment every frame. Raises as `_asked` does."""
        number, fps = self._asked(processor)
        if fps is not None:
            fewest, most = processor.get("min_frames") or self.fewest, processor.get("max_frames") or self.most
            number = self._whole(min(max(_at(fps, video), fewest), self._whole(min(most, video.frames)), video.frames))
        elif number is not None:
            number = round(number / self.together) * self.together
        return _apart(video.frames, number or video.frames)

    def bound(self, processor: ProcessorConfig) -> int | None:
        """As of `uniform`, in whole moments."""
        number, fps = self._asked(processor)
        if fps is not None:
            return self._whole(processor.get("max_frames") or self.most) or None
        return None if number is None else round(number / self.together) * self.together or None

    def _whole(self, frames: float) -> int:
        return int(frames // self.together) * self.together


class Paces(Uniform):
    """Each n-th frame, n so that about `fps` are taken a second; of more than `most` some, as far apart as they can be.

    So are the `num_frames` that a processor asks for. These lie in the middles of as many equal stretches.
    """

    together: ClassVar[int] = 1  # frames are by themselves
    most: PositiveInt = 64

    def __call__(self, video: VideoFacts, processor: ProcessorConfig) -> Sequence[int]:
        """Raises as `_asked` does, and InputError for a video that does not say how many frames it has a second."""
        number, fps = self._asked(processor)
        if fps is None:
            return _middles(range(video.frames), min(number or video.frames, video.frames))
        paces = range(0, video.frames, max(1, round(_own(video) / fps)))
        return _middles(paces, min(self.most, len(paces)))

    def bound(self, processor: ProcessorConfig) -> int | None:
        """As of `uniform`, and `most` of those that are taken so many a second."""
        number, fps = self._asked(processor)
        return number if fps is None else self.most


class FirstToLast(Moments):
    """As `moments`, but for the first frame and the last, which are both taken, with the others evenly between them.

    Moments need not be whole: of the last one what is left over is shown again.
    """

    def __call__(self, video: VideoFacts, processor: ProcessorConfig) -> Sequence[int]:
        """Of a video that has fewer frames than asked for all. Raises as `_asked` does."""
        number, fps = self._asked(processor)
        if fps is not None:
            fewest, most = processor.get("min_frames") or self.fewest, processor.get("max_frames") or self.most
            number = min(max(int(_at(fps, video)), fewest), most)
        number = min(number or video.frames, video.frames)
        last = (video.frames - 1) / max(1, number - 1)
        return [round(n * last) for n in range(number)]

    def bound(self, processor: ProcessorConfig) -> int | None:
        """As of `uniform`, and `most` of those that are taken so many a second."""
        number, fps = self._asked(processor)
        return number if fps is None else processor.get("max_frames") or self.most


def _at(fps: float, video: VideoFacts) -> float:
    """How many frames a video has at `fps` a second. Raises InputError where its own number is not known."""
    return video.frames / _own(video) * fps


def _own(video: VideoFacts) -> float:
    """Frames a second. Raises InputError where that is not known."""
    if video.fps is None:
        raise InputError("does not say how many frames are shown in a second; ask for num_frames instead of fps")
    return video.fps


def _middles(frames: Sequence[int], number: int) -> Sequence[int]:
    stretch = len(frames) / number
    return [frames[int(i * stretch + stretch / 2)] for i in range(number)]


def _apart(frames: int, number: int) -> Sequence[int]:
    return [i * frames // number for i in range(number)] if number < frames else range(frames)
