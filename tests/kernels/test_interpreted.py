"""Kernels in Triton's interpreter, on a CPU, against their definitions: `pytest -m interpret`."""

from __future__ import annotations

import pytest
import torch

from tests.kernels.call import Call, Draw, calls, check
from triptych.kernels.choice import ops_with_kernels

pytestmark = pytest.mark.interpret
DTYPES = [torch.float32, torch.float16]  # arithmetic of bfloat16 is wrong in the interpreter


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("call", calls("INTERPRETED"), ids=str)
def test_a_kernel_does_what_its_definition_says(call: Call, dtype: torch.dtype) -> None:
    check(call, Draw(dtype))


def test_every_kernel_is_tried() -> None:
    assert {call.op for call in calls("INTERPRETED")} == set(ops_with_kernels())
