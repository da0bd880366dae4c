"""What every modality is read by: entries one by one, and all that is wrong with them told at once."""

from __future__ import annotations

import os
from base64 import b64decode
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias, TypeGuard, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from triptych.errors import InputError, InputTypeError, short

Array: TypeAlias = NDArray[np.generic] | Tensor
T = TypeVar("T")
DATA_URL, BASE64 = "data:", ";base64"


def is_array(value: object, *ndims: int) -> TypeGuard[Array]:
    """Whether a value is an array or a tensor, of one of these numbers of dims if there are any."""
    return isinstance(value, np.ndarray | Tensor) and (not ndims or value.ndim in ndims)


def is_list(value: object) -> TypeGuard[Sequence[object]]:
    """Whether a value is several of something."""
    return isinstance(value, list | tuple)


def first_given(entries: Iterable[object]) -> object:
    """The first entry that is not None, which tells what the others are; None when there is none."""
    return next((entry for entry in entries if entry is not None), None)


def read_each(entries: Iterable[object], read: Callable[[object, str], T], *, modality: str) -> list[T | None]:
    """Each entry read by `read(entry, name)`; None stays None, and one object that is there again is read once.

    Raises InputError with what is wrong with each entry, InputTypeError when all of it are wrong types.
    """
    found: list[T | None] = []
    errors: list[InputError] = []
    read_before: dict[int, T] = {}
    entries = [*entries]  # held until the end, so that an id stays that of one object
    for index, entry in enumerate(entries):
        try:
            if entry is not None and id(entry) not in read_before:
                read_before[id(entry)] = _read(entry, read, f"{modality}[{index}]")
            found.append(None if entry is None else read_before[id(entry)])
        except InputError as error:
            errors.append(error)
    check_none(errors)
    return found


def check_none(errors: Sequence[InputError]) -> None:
    """Raise the errors as one, when there are any."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        kind = InputTypeError if all(isinstance(error, InputTypeError) for error in errors) else InputError
        raise kind([problem for error in errors for problem in error.problems])


def form(array: Array) -> str:
    """Dtype and shape, for messages: `float32 [5, 16]`."""
    return f"{str(array.dtype).removeprefix('torch.')} {list(array.shape)}"


def _read(entry: object, read: Callable[[object, str], T], name: str) -> T:
    if isinstance(entry, str) and entry.startswith(DATA_URL):
        return read(_bytes_of(entry, name), name)
    return read(entry, _name(entry, name))


def _bytes_of(url: str, name: str) -> bytes:
    head, comma, content = url.partition(",")
    try:
        if comma and head.endswith(BASE64):
            return b64decode(content, validate=True)
    except ValueError:
        pass  # told below
    raise InputError(f"is {short(url)}; a data: URL is data:image/png;base64,... with what is in a file", path=name)


def _name(entry: object, name: str) -> str:
    return f"{name} ({entry})" if isinstance(entry, str | os.PathLike) else name
