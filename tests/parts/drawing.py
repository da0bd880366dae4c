"""Parts with values: built on meta, as everywhere, then filled from a seed."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from triptych.spec.base import PartSpec


def filled(spec: PartSpec, *, dtype: torch.dtype = torch.float32, seed: int = 0, **sizes: Any) -> Any:
    """The part that `spec` describes, every parameter drawn."""
    part: nn.Module = spec.build(**sizes)
    assert all(parameter.is_meta for parameter in part.parameters())
    part.to_empty(device="cpu").to(dtype)
    make = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in part.parameters():
            scale = parameter.shape[-1] ** -0.5 if parameter.ndim > 1 else 1.0
            parameter.copy_(torch.randn(parameter.shape, generator=make) * scale)
    return part.requires_grad_(False)
