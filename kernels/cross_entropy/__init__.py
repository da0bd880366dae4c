"""cross_entropy: minus the logarithm of the share that a softmax of a row's logits gives its target."""

from __future__ import annotations

from torch import Tensor

from triptych.errors import KernelError
from triptych.kernels.choice import kernel_for
from triptych.kernels.cross_entropy import reference


def cross_entropy(
    logits: Tensor, targets: Tensor, *, ignore: int = -100, scale: float = 1.0, softcap: float | None = None
) -> Tensor:
    """logits [T, V], targets [T] of whole numbers below V, or `ignore` -> losses [T] in float32, noughts where ignored.

    Logits z count as softcap * tanh(scale * z / softcap), as those of a head do. Raises KernelError when shapes do not
    fit together.
    """
    if logits.dim() != 2 or targets.shape != logits.shape[:1]:
        raise KernelError(f"cross_entropy: logits {tuple(logits.shape)} for targets {tuple(targets.shape)}")
    op = kernel_for("cross_entropy", logits) or reference
    losses: Tensor = op.cross_entropy(logits, targets, ignore=ignore, scale=scale, softcap=softcap)
    return losses
