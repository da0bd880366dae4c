"""The call of a checkpoint's processor: what it raises is told with what it was given, what it gives has one dtype."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from triptych.arguments import check_arguments
from triptych.errors import InputError, InputTypeError, TriptychError, short
from triptych.inputs.media.reading import form, is_array
from triptych.inputs.nested import as_tensors


def call_processor(
    processor: Callable[..., Mapping[str, object]],
    data: Mapping[str, object],
    kwargs: Mapping[str, object],
    *,
    dtype: torch.dtype | None = None,
) -> dict[str, object]:
    """What the processor makes of the data, its floating tensors in `dtype`, also those in lists.

    Raises InputError with the arguments for whatever it raises, InputTypeError for what it gives that is no mapping.
    """
    check_arguments(processor=(processor, Callable), data=(data, Mapping), kwargs=(kwargs, Mapping))
    called = getattr(processor, "__name__", type(processor).__name__)
    with refusing(called, {**data, **kwargs}):
        found = processor(**data, **kwargs)
    if not isinstance(found, Mapping):
        raise InputTypeError(f"{called} gives {short(found)}, and a mapping of tensors by name is wanted")
    return {name: cast_floating(value, dtype, path=name) for name, value in found.items()}


@contextmanager
def refusing(called: str, arguments: Mapping[str, object]) -> Iterator[None]:
    """Raise InputError with the arguments for whatever a processor raises in the context, but errors of triptych."""
    try:
        yield
    except TriptychError:
        raise
    except Exception as error:  # whatever a processor raises is about these inputs under these keywords
        raise InputError(f"{called}({as_arguments(arguments)}) refuses it: {error}") from error


def as_arguments(arguments: Mapping[str, object]) -> str:
    """Arguments as an error shows them: the sizes of what is large, and all else by its value."""
    return ", ".join(f"{name}={_told(value)}" for name, value in arguments.items())


def cast_floating(value: object, dtype: torch.dtype | None, *, path: str = "") -> object:
    """Floating tensors and arrays in `dtype`, lists of them likewise; anything else as it is.

    Raises InputTypeError, which says `path`, for an array of a type that no tensor has.
    """
    match value:
        case np.ndarray() if value.dtype.kind == "f":
            return cast_floating(as_tensors(value, path), dtype, path=path)
        case Tensor() if value.is_floating_point() and dtype is not None:
            return value.to(dtype)
        case list() | tuple():
            return [cast_floating(item, dtype, path=path) for item in value]
    return value


def _told(value: object) -> str:
    """A value in a few words: of images and arrays their sizes, of lists their first items."""
    if is_array(value):
        return form(value)
    if isinstance(value, Image.Image):
        return f"image {value.width} x {value.height}"
    if isinstance(value, list):
        return f"[{', '.join(map(_told, value[:3]))}{', ...' if len(value) > 3 else ''}]"
    return short(value)
