"""The dtype in which definitions sum."""

from __future__ import annotations

import torch


def widened(dtype: torch.dtype) -> torch.dtype:
    """float64 for float64, which kernels are held to; float32 for all others."""
    return torch.float64 if dtype == torch.float64 else torch.float32
