"""moe: each row through the few experts that are chosen for it, and what these give summed by its shares."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from triptych.errors import KernelError
from triptych.kernels.choice import is_on_gpu, kernel_for
from triptych.kernels.moe import imagined, reference
from triptych.kernels.moe.reference import Biases


def moe(
    x_TD: Tensor,
    gate_up_EFD: Tensor,
    down_EDH: Tensor,
    *,
    chosen_TK: Tensor,
    shares_TK: Tensor,
    inner: Callable[[Tensor], Tensor],
    biases: Biases | None = None,
    shares_of_inputs: bool = False,
) -> Tensor:
    """Rows [T, D], of which K numbers of experts are chosen for each, with their shares -> [T, D].

    An expert is down(inner(gate_up(x))), `inner` [N, F] -> [N, H]: kernels have those of `inner.py`, and activations.
    `biases` [E, F] and [E, D] are added after the two matrices.
    A number past the last of them is that of one that gives back what it is given. Shares weigh what an
    expert gives, or what it is given. Raises KernelError where the shapes do not go together.
    """
    count, rows, width = gate_up_EFD.shape
    hidden = down_EDH.shape[-1]
    fits = rows in (hidden, 2 * hidden) and x_TD.shape[-1] == width and down_EDH.shape[:2] == (count, width)
    fits = fits and (biases is None or [b.shape for b in biases] == [(count, rows), (count, width)])
    if not fits or chosen_TK.shape != shares_TK.shape or len(chosen_TK) != len(x_TD):
        matrices = f"{tuple(gate_up_EFD.shape)} and {tuple(down_EDH.shape)}"
        chosen = f"{tuple(chosen_TK.shape)} chosen with shares {tuple(shares_TK.shape)}"
        raise KernelError(f"moe: rows {tuple(x_TD.shape)}, {chosen}, for experts {matrices}")
    has_values = _has_values(x_TD)
    asks = has_values or is_on_gpu(x_TD)  # one that is imagined only compiles
    kernel = kernel_for("moe", x_TD, gate_up_EFD, down_EDH, inner=inner, biases=biases) if asks else None
    op = kernel or (reference if has_values else imagined)
    found: Tensor = op.moe(
        x_TD,
        gate_up_EFD,
        down_EDH,
        chosen_TK=chosen_TK,
        shares_TK=shares_TK,
        inner=inner,
        biases=biases,
        shares_of_inputs=shares_of_inputs,
    )
    return found


def _has_values(x: Tensor) -> bool:
    """Whether there is something to choose by: not on meta, nor in a computation that is only imagined."""
    return type(x) in (Tensor, nn.Parameter) and x.device != torch.device("meta")
