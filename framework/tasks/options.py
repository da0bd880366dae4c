"""Where and in what numbers a model runs, as users say it."""

from __future__ import annotations

import torch

from triptych.errors import OptionError, short, suggest
from triptych.settings import MultiModalSettings
from triptych.weights import Checkpoint

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

Device = torch.device | str
Dtype = torch.dtype | str | None


def as_device(device: Device) -> torch.device:
    """A device that is here. Raises OptionError for any other."""
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise OptionError(f"{device!r} is no device; cpu or cuda, say", path="device") from error
    if found.type == "cuda" and not torch.cuda.is_available():
        raise OptionError("there is no CUDA device here; use cpu", path="device")
    return found


def as_dtype(dtype: Dtype) -> torch.dtype | None:
    """A dtype that models run in, given as it is or by name; None stays. Raises OptionError for any other."""
    if dtype is None or (isinstance(dtype, torch.dtype) and dtype in DTYPES.values()):
        return dtype
    if not isinstance(dtype, str) or dtype not in DTYPES:
        name = str(dtype).removeprefix("torch.")
        raise OptionError(f"{name!r} is none that models run in{suggest(name, DTYPES)}", path="dtype")
    return DTYPES[dtype]


def as_settings(multimodal: MultiModalSettings | None) -> MultiModalSettings:
    """The settings of items, those that are usual for None. Raises OptionError for what is none."""
    if multimodal is not None and not isinstance(multimodal, MultiModalSettings):
        raise OptionError(f"MultiModalSettings are wanted, not {short(multimodal)}", path="multimodal")
    return multimodal or MultiModalSettings()


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
