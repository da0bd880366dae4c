"""Tensors in lists in lists: what a field of an item holds, and how anything else becomes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from triptych.errors import InputError, InputTypeError

NestedTensors: TypeAlias = "Tensor | list[NestedTensors]"

NUMBERS = (bool, int, float, np.number, np.bool_)


def as_tensors(value: object, path: str) -> NestedTensors:
    """Arrays, numbers and lists of numbers as tensors; lists of anything else stay lists. A view where torch can.

    `path` says which value it is. Raises InputError, for a type that holds no numbers InputTypeError.
    """
    match value:
        case Tensor():
            return value
        case np.ndarray() if value.dtype == object:  # what numpy makes of arrays of several shapes
            return as_tensors(value.tolist(), path)
        case np.ndarray():
            return _from_array(value, path)
        case list() | tuple() if not value or not all(isinstance(item, NUMBERS) for item in value):
            return [as_tensors(item, f"{path}[{place}]") for place, item in enumerate(value)]
        case list() | tuple() | bool() | int() | float() | np.number() | np.bool_():
            return _from_numbers(value, path)
    raise InputTypeError(
        f"is {type(value).__name__}; a tensor, an array, a number or a list of those is wanted", path=path
    )


def _from_array(array: NDArray[np.generic], path: str) -> Tensor:
    viewable = array.flags.writeable and min(array.strides, default=0) >= 0
    try:
        return torch.from_numpy(array if viewable else array.copy())
    except (TypeError, ValueError) as error:  # the latter for bytes in foreign order
        raise InputTypeError(f"is an array of {array.dtype}, which is no dtype of tensors", path=path) from error


def _from_numbers(value: Sequence[object] | object, path: str) -> Tensor:
    try:
        return torch.tensor(value)
    except (ValueError, RuntimeError, OverflowError) as error:
        raise InputError(f"cannot become a tensor: {error}", path=path) from error


def is_empty(data: NestedTensors, dim: int = 0) -> bool:
    """Whether there is nothing along `dim`. A tensor without that dim is empty when it has no element at all."""
    if not isinstance(data, Tensor):
        return not data
    return data.shape[dim] == 0 if -data.ndim <= dim < data.ndim else data.numel() == 0


def same_tensors(one: NestedTensors, other: NestedTensors) -> bool:
    """Whether two values have one structure, dtype, shape, device and content; nan equals nan."""
    if one is other:
        return True
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        alike = (one.dtype, one.shape, one.device) == (other.dtype, other.shape, other.device)
        return alike and bool((one.eq(other) | (one.ne(one) & other.ne(other))).all())
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        return False
    return len(one) == len(other) and all(map(same_tensors, one, other))


def to_device(data: NestedTensors, device: torch.device, *, pin_memory: bool) -> NestedTensors:
    """The same on `device`; by way of page-locked memory if asked, and then without waiting for the copies."""
    if not isinstance(data, Tensor):
        return [to_device(item, device, pin_memory=pin_memory) for item in data]
    pinned = pin_memory and data.device.type == "cpu" and device.type not in ("cpu", "meta")
    return (data.pin_memory() if pinned else data).to(device, non_blocking=pinned)
