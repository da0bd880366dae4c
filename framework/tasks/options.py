"""Where and in what numbers a model runs, as users say it."""

from __future__ import annotations

import torch

from triptych.errors import OptionError, suggest
from triptych.weights import Checkpoint

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

Device = torch.device | str
Dtype = torch.dtype | str | None


def as_device(device: Device) -> torch.device:
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise OptionError(f"{device!r} is no device; cpu or cuda, say", path="device") from error
    if found.type == "cuda" and not torch.cuda.is_available():
        raise OptionError("there is no CUDA device here; use cpu", path="device")
    return found


def as_dtype(dtype: Dtype) -> torch.dtype | None:
    if isinstance(dtype, str):
        if dtype not in DTYPES:
            raise OptionError(f"{dtype!r} is none that models run in{suggest(dtype, DTYPES)}", path="dtype")
        return DTYPES[dtype]
    return dtype


def stated_dtype(checkpoint: Checkpoint) -> torch.dtype:
    """What the config says, else what most bytes of the checkpoint are stored in."""
    stated = str(checkpoint.config.get("dtype") or checkpoint.config.get("torch_dtype"))
    if stated in DTYPES:
        return DTYPES[stated]
    sizes = dict.fromkeys(DTYPES.values(), 0)
    for stored in checkpoint.tensors.values():
        if stored.dtype in sizes:
            sizes[stored.dtype] += stored.nbytes
    return max(sizes, key=lambda dtype: sizes[dtype])
