"""gated: one half of the channels, through an activation, times the other half."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from triptych.errors import KernelError
from triptych.kernels.choice import kernel_for
from triptych.kernels.gated import reference


def gated(
    gate_up: Tensor, activation: Callable[[Tensor], Tensor], limit: float | None = None, *, scale: float = 1.0
) -> Tensor:
    """gate_up [T, 2F], the gate first -> [T, F]; what the activation gives is at most `limit`, the other within it.

    The gate is multiplied by `scale` before its activation. A kernel has the activations of `kernels/activations.py`.
    Raises KernelError when the width is odd.
    """
    if gate_up.shape[-1] % 2:
        raise KernelError(f"gated: {tuple(gate_up.shape)} does not split in two halves")
    op = kernel_for("gated", gate_up, activation) or reference
    found: Tensor = op.gated(gate_up, activation, limit, scale=scale)
    return found
