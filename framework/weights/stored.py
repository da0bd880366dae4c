"""Tensors in safetensors files: where their bytes are.

The safetensors library checks each header; the bytes are then read straight to where they belong. (Its own mapped reads
leave the whole file in the process's memory beside the model.)
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from triptych.errors import CheckpointError

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@dataclass(frozen=True)
class Stored:
    """One tensor on disk: where its bytes are, of which shape and dtype."""

    file: Path
    shape: tuple[int, ...]
    dtype: torch.dtype
    offset: int
    nbytes: int

    def read_into(self, target: Tensor, *, first: int = 0) -> None:
        """Fill a contiguous CPU tensor of the same dtype with the stored elements from number `first` on."""
        start = first * self.dtype.itemsize
        assert target.dtype == self.dtype
        assert target.is_contiguous()
        assert start + target.nbytes <= self.nbytes
        bytes_of: Any = target.detach().view(-1).view(torch.uint8).numpy()
        view, done = memoryview(bytes_of), 0
        with open(self.file, "rb", buffering=0) as file:
            file.seek(self.offset + start)
            while done < len(view):
                if not (got := file.readinto(view[done:])):
                    raise CheckpointError(f"{self.file}: ends before its tensors do; it changed while it was read")
                done += got

    def read(self) -> Tensor:
        """The tensor, on the CPU, as it is stored."""
        found = torch.empty(self.shape, dtype=self.dtype)
        if self.nbytes:
            self.read_into(found)
        return found


def read_header(path: Path) -> dict[str, Stored]:
    """The tensors of a file by name. Raises CheckpointError when it is not whole, and for dtypes that nobody reads."""
    try:
        with safe_open(path, "pt"):
            pass  # the library has checked sizes, offsets and dtypes against the file
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a whole safetensors file ({error}); fetch it again") from None
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        entries = json.loads(file.read(size))
    entries.pop("__metadata__", None)
    unknown = sorted({e["dtype"] for e in entries.values()} - set(DTYPES))
    if unknown:
        raise CheckpointError(
            f"{path}: tensors of dtype {', '.join(unknown)}, which no spec reads; known: {', '.join(DTYPES)}"
        )
    return {name: _stored(path, entry, 8 + size) for name, entry in entries.items()}


def _stored(path: Path, entry: Mapping[str, Any], start: int) -> Stored:
    first, last = entry["data_offsets"]
    return Stored(path, tuple(entry["shape"]), DTYPES[entry["dtype"]], start + first, last - first)
