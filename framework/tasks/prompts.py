"""The forms in which prompts and images may be given, brought to one: prompts, and a list of images for each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeGuard, TypeVar

import numpy as np
from PIL import Image
from torch import Tensor

from triptych.errors import InputError, InputTypeError, Problem, short
from triptych.inputs.images import ImageInput

P = TypeVar("P")
Q = TypeVar("Q")
R = TypeVar("R")
Prompt = str | Sequence[int]
Prompts = Prompt | Sequence[str] | Sequence[Sequence[int]]
Images = ImageInput | Sequence[ImageInput] | Sequence[Sequence[ImageInput]]


def paired(prompts: Prompts, images: Images | None) -> list[tuple[Prompt, tuple[ImageInput, ...]]]:
    """Each prompt with its images. One prompt takes an image or a list of them, several take a list for each.

    Raises InputError for what is neither text nor token ids, and for lists of different lengths.
    """
    if is_single(prompts):
        return [(prompts, _as_images(images))]
    listed = _as_prompts(prompts)
    if images is None:
        return [(prompt, ()) for prompt in listed]
    if _is_image(images) or not isinstance(images, Sequence) or len(images) != len(listed):
        raise InputError(f"{len(listed)} prompts take as many lists of images, one for each", path="images")
    return [(prompt, _as_images(given)) for prompt, given in zip(listed, images, strict=True)]


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


def _as_images(images: Any) -> tuple[ImageInput, ...]:
    if images is None or _is_image(images):
        return () if images is None else (images,)
    if not isinstance(images, Iterable) or isinstance(images, bytes | Mapping):
        raise InputTypeError(f"an image or a list of images is needed, not {short(images)}", path="images")
    return tuple(images)


def _is_image(value: object) -> bool:
    return isinstance(value, str | os.PathLike | Image.Image | Tensor | np.ndarray)
