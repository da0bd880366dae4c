"""Sizes of tiles, by what fits the registers and the shared memory of a GPU without spilling."""
# M packed rows, N keys

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import triton

from triptych.kernels.tuned import Config, capability, registers, tuned

LARGE = 160 * 1024  # bytes of shared memory that a block has on GPUs of data centres
SMALL_ROWS = 64  # packed rows of the longest sequence, up to which tiles are small


def tile(rows: int, width: int, dtype: torch.dtype, device: torch.device) -> Config:
    """For so many packed rows of the longest sequence, and keys or values of this width."""
    block = max(16, triton.next_power_of_2(width))
    bucket = f"{'few' if rows <= SMALL_ROWS else 'many'} rows of {block}"
    if found := _tuned(bucket, dtype, device):
        return found
    stages = 3 if shared_memory(device) >= LARGE else 2
    if dtype.itemsize > 2:  # float32 is multiplied without tensor cores, as exactly as it can be
        return _exact(block)
    if block > 128:
        return {"M": 64, "N": 32, "num_warps": 8, "num_stages": stages}
    if block > 64 and (capability(device) < 90 or block != width):
        return {"M": 64, "N": 64, "num_warps": 8, "num_stages": stages}
    if rows <= SMALL_ROWS or stages == 2 or capability(device) < 90:
        return {"M": 64, "N": 64, "num_warps": 4, "num_stages": stages}
    return {"M": 128, "N": 128 if block <= 64 else 64, "num_warps": 8, "num_stages": stages}


def part_tile(rows: int, width: int, dtype: torch.dtype, device: torch.device) -> Config:
    """For rows over parts of the keys, as in decoding: so many packed rows of one sequence at most."""
    block = max(16, triton.next_power_of_2(width))
    M = min(64, max(16, triton.next_power_of_2(rows)))
    found = _tuned(f"parts of {M} rows of {block}", dtype, device)
    if dtype.itemsize > 2:
        return {"N": 16, "num_warps": 8, "num_stages": 1, "maxnreg": registers(8), **(found or {}), "M": M}
    keys = 64 if block <= 128 and capability(device) >= 90 else 32
    stages = 4 if shared_memory(device) >= LARGE else 2
    return {"N": keys, "num_warps": 4, "num_stages": stages, "maxnreg": registers(4), **(found or {}), "M": M}


def backward_tile(of: str, width: int, dtype: torch.dtype, device: torch.device) -> Config:
    """For gradients of queries or of keys: programs hold more tiles at a time, those of keys the most."""
    block = max(16, triton.next_power_of_2(width))
    if found := _tuned(f"gradients of {of} of {block}", dtype, device):
        return found
    if dtype.itemsize > 2:
        return _exact(block)
    if block > 128:
        return {"M": 32, "N": 32, "num_warps": 8, "num_stages": 1}
    if of == "keys" and block > 64 and capability(device) >= 90:
        return {"M": 32, "N": 128, "num_warps": 8, "num_stages": 2}
    return {"M": 64, "N": 64, "num_warps": 8, "num_stages": 2}


def _tuned(bucket: str, dtype: torch.dtype, device: torch.device) -> Config | None:
    """What suits numbers of two bytes does not fit where they have four."""
    return tuned("attention", device, bucket if dtype.itemsize == 2 else f"{bucket}, {dtype.itemsize} bytes")


def _exact(block: int) -> Config:
    """Of float32, which takes so many registers that little of it is loaded ahead."""
    return {"M": 16, "N": 32 if block <= 128 else 16, "num_warps": 8, "num_stages": 1, "maxnreg": registers(8)}


@cache
def shared_memory(device: torch.device) -> int:
    """Bytes that a block of threads may have; without a GPU those of an H100."""
    if device.type != "cuda":
        return 227 * 1024
    properties: Any = torch.cuda.get_device_properties(device)
    return int(properties.shared_memory_per_block_optin)
