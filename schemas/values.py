"""What counts as a tensor, and the names of dtypes: known without importing torch."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, TypeGuard

from triptych.errors import short, suggest

if TYPE_CHECKING:
    from torch import Tensor

_EIGHT_BIT = ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu")

GROUPS: dict[str, frozenset[str]] = {
    "float": frozenset({"float16", "bfloat16", "float32", "float64", "float4_e2m1fn_x2", *_EIGHT_BIT}),
    "int": frozenset({"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}),
    "bool": frozenset({"bool"}),
}
DTYPES = frozenset({"complex64", "complex128"}).union(*GROUPS.values())

tensor_classes: set[type] = set()  # those seen so far; asking this first is what makes validation quick


def is_tensor(value: object) -> TypeGuard[Tensor]:
    """Whether `value` is a torch tensor; where torch is not loaded nothing can be one."""
    if type(value) in tensor_classes:
        return True
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(value, torch.Tensor):
        return False
    tensor_classes.add(type(value))
    return True


@cache
def dtype_name(dtype: object) -> str:
    """`torch.float32` -> `float32`."""
    return str(dtype).removeprefix("torch.")


def members(dtypes: Iterable[str]) -> frozenset[str]:
    """The dtypes that names and groups stand for."""
    return frozenset().union(*(GROUPS.get(name, {name}) for name in dtypes))


def number_classes(dtypes: Iterable[str]) -> frozenset[type]:
    """The Python numbers that dtypes take: a whole number does for a float, a bool for nothing but a bool."""
    accepted = members(dtypes)
    taken: set[type] = {int} if accepted & GROUPS["int"] else set()
    if accepted & GROUPS["float"]:
        taken |= {int, float}
    return frozenset(taken | {bool} if "bool" in accepted else taken)


def number_class(value: object) -> type | None:
    """bool, int or float, of which `value` is one; None for all else, numpy's float64 among it."""
    if type(value).__module__ == "numpy":
        return None
    return next((kind for kind in (bool, int, float) if isinstance(value, kind)), None)


def class_name(value: object) -> str:
    """The class of a value as its user knows it: `list`, `numpy.ndarray`."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def told(value: object) -> str:
    """A value as messages show it: itself when it is one word or number, else only its class."""
    return f"{short(value)} ({class_name(value)})" if isinstance(value, (str, int, float)) else class_name(value)


def nearest(value: object, words: Iterable[str]) -> str:
    """`; did you mean 'x'?` when a word is near, else nothing."""
    hint = suggest(value, words) if isinstance(value, str) else ""
    return hint if "did you mean" in hint else ""
