"""prepare_step: what a step is given, gathered from a table of the requests that stays on the device."""

# T tokens of a step, B requests of it

from __future__ import annotations

from torch import Tensor

from triptych.errors import KernelError
from triptych.kernels.choice import kernel_for
from triptych.kernels.prepare_step import reference
from triptych.kernels.prepare_step.table import StepInputs, StepTable

__all__ = ["StepInputs", "StepTable", "prepare_step"]


def prepare_step(packed: Tensor, table: StepTable, *, requests: int, size: int) -> StepInputs:
    """The inputs of a step of `size` tokens, whose plan is `packed`: one copy from the host, whole numbers of 32 bits.

    It holds the rows in the table of B `requests`, and B + 1 bounds: tokens bounds[i] to bounds[i + 1] are the next of
    request i. Tokens beyond the last bound fill up the step: id and position 0, no slot. Raises KernelError for a plan
    of another length.
    """
    if packed.shape != (2 * requests + 1,):
        raise KernelError(f"prepare_step: a plan {tuple(packed.shape)} of {requests} requests")
    op = kernel_for("prepare_step", packed, table) or reference
    found: StepInputs = op.prepare_step(packed, table, requests=requests, size=size)
    return found
