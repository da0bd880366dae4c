"""What a step frees stays with the process for the next one, where the C library is glibc.

Left to itself it gives the end of the heap back to the system whenever some 60 MiB lie free there, as between two
layers of a long step: the system clears the same pages again and again.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from functools import cache

import torch

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # names of malloc.h
KEPT = 256 * 2**20  # bytes that may lie free at the end of the heap
MAPPED = 32 * 2**20  # bytes from which a tensor is a mapping of its own, and goes back at once: as far as glibc goes
OWN_WORDS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_")


def keep_freed(device: torch.device) -> None:
    """See to it, once a process, where steps run on a CPU; what the environment says of the heap stands."""
    if device.type == "cpu" and not is_told(os.environ):
        _keep()


def is_told(environment: Mapping[str, str]) -> bool:
    """Whether the environment says how glibc keeps its heap."""
    return any(name in environment for name in OWN_WORDS) or "glibc.malloc." in environment.get("GLIBC_TUNABLES", "")


@cache
def _keep() -> None:
    if libc := _glibc():
        libc.mallopt(MMAP_THRESHOLD, MAPPED)
        libc.mallopt(TRIM_THRESHOLD, KEPT)


def _glibc() -> ctypes.CDLL | None:
    """None where another library is the system's."""
    try:
        libc = ctypes.CDLL(None)
    except TypeError:  # Windows has no such name
        return None
    return libc if hasattr(libc, "gnu_get_libc_version") else None
