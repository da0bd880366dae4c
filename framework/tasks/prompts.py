"""The forms in which prompts and items may be given, brought to one: prompts, and the items of each by modality."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeGuard, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from triptych.errors import InputError, InputTypeError, Problem, short
from triptych.inputs.images import ImageInput
from triptych.inputs.media.audio import has_rate
from triptych.inputs.media.sound_files import SoundInput
from triptych.inputs.media.video_files import VideoFile

P = TypeVar("P")
Q = TypeVar("Q")
R = TypeVar("R")
Prompt = str | Sequence[int]
Prompts = Prompt | Sequence[str] | Sequence[Sequence[int]]
Images = ImageInput | Sequence[ImageInput] | Sequence[Sequence[ImageInput]]
Videos = VideoFile | NDArray[np.uint8] | Tensor | Sequence[Any] | tuple[Any, Mapping[str, object]]
"""A file, an array or a list of frames, any of the two with metadata, or several of these; a list for each prompt."""

Sounds = SoundInput | Sequence[SoundInput] | Sequence[Sequence[SoundInput]]
PLURALS = {"audio": "sounds"}


def paired(prompts: Prompts, images: Images | None = None, **others: object) -> list[tuple[Prompt, dict[str, object]]]:
    """Each prompt with its items by modality. One takes an image or a list of them, several take a list for each.

    `others` are items of other modalities (`video`, `audio`) in the same forms. Raises InputError for what is neither
    text nor token ids, and for lists of different lengths.
    """
    given = {m: each for m, each in {"image": images, **others}.items() if each is not None}
    if is_single(prompts):
        return [(prompts, _items(given))]
    listed = _as_prompts(prompts)
    for modality, each in given.items():
        if not _is_list(each) or isinstance(each, str) or has_rate(each) or len(each) != len(listed):
            name = PLURALS.get(modality, f"{modality}s")
            raise InputError(f"{len(listed)} prompts take as many lists of {name}, one for each", path=name)
    own = [{m: each[number] for m, each in given.items()} for number in range(len(listed))]  # type: ignore[index]
    return [(prompt, _items(items)) for prompt, items in zip(listed, own, strict=True)]


def read_each(listed: Sequence[tuple[P, Q]], read: Callable[[P, Q], R]) -> list[R]:
    """What `read` makes of each. Raises InputError that names every one with a mistake, by its number."""
    found, problems = [], []
    for number, given in enumerate(listed):
        try:
            found.append(read(*given))
        except InputError as error:
            name = f"prompts[{number}]" if len(listed) > 1 else "prompt"
            problems += [Problem(p.message, ".".join(filter(None, (name, p.path)))) for p in error.problems]
    if problems:
        raise InputError(problems)
    return found


def is_single(prompts: object) -> TypeGuard[Prompt]:
    """Whether this is one prompt: a text, or a list that begins with a token id."""
    return isinstance(prompts, str) or (_is_list(prompts) and len(prompts) > 0 and _is_id(prompts[0]))


def _as_prompts(prompts: object) -> list[Prompt]:
    if isinstance(prompts, Iterable) and not isinstance(prompts, bytes | Mapping):
        listed = list(prompts)
        if all(map(_is_prompt, listed)):
            return listed
    raise InputError("a text or a list of token ids is needed, or a list of such", path="prompts")


def _is_prompt(value: object) -> bool:
    return isinstance(value, str) or (_is_list(value) and all(map(_is_id, value)))


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence) and not isinstance(value, bytes)


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _items(given: Mapping[str, object]) -> dict[str, object]:
    """Of each modality that there is something of; images in a list."""
    listed = {m: _as_images(each) if m == "image" else each for m, each in given.items() if each is not None}
    return {m: each for m, each in listed.items() if not (isinstance(each, list | tuple) and not each)}


def _as_images(images: Any) -> tuple[ImageInput, ...]:
    if images is None or _is_image(images):
        return () if images is None else (images,)
    if not isinstance(images, Iterable) or isinstance(images, bytes | Mapping):
        raise InputTypeError(f"an image or a list of images is needed, not {short(images)}", path="images")
    return tuple(images)


def _is_image(value: object) -> bool:
    return isinstance(value, str | os.PathLike | Image.Image | Tensor | np.ndarray)
