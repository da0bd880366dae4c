"""Values for a model without a checkpoint: for trying a spec, its shapes and its speed."""

from __future__ import annotations

from hashlib import blake2b

import torch
from torch import nn


@torch.no_grad()
def fill_random(model: nn.Module, *, seed: int, device: torch.device, dtype: torch.dtype) -> None:
    """Give every parameter memory and drawn values: matrices N(0, 1 / fan-in), one-dimensional weights 1, biases 0.

    What is drawn follows from the seed and the parameter's path, so that a stage has what the whole model has there.
    """
    generator = torch.Generator(device)
    for path, parameter in list(model.named_parameters()):
        owner, _, name = path.rpartition(".")
        values = torch.empty(parameter.shape, dtype=dtype, device=device)
        if values.ndim > 1:
            generator.manual_seed(_seed(seed, path))
            one = values[0, 0] if name in getattr(model.get_submodule(owner), "stacked", {}) else values[0]
            values.normal_(0.0, one.numel() ** -0.5, generator=generator)
        else:
            values.fill_(0.0 if name == "bias" else 1.0)
        setattr(model.get_submodule(owner), name, nn.Parameter(values, requires_grad=False))


def _seed(seed: int, path: str) -> int:
    return int.from_bytes(blake2b(f"{seed} {path}".encode(), digest_size=7).digest(), "big")
