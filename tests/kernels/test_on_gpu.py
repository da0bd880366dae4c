"""Kernels on a GPU against their definitions: `pytest -m gpu`."""

from __future__ import annotations

import pytest
import torch

from tests.kernels.call import Call, Draw, calls, check

pytestmark = pytest.mark.gpu
DTYPES = [torch.float32, torch.float16, torch.bfloat16]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("call", [*calls("INTERPRETED"), *calls("COMPILED"), *calls("COMPILED_ALL")], ids=str)
def test_a_kernel_does_what_its_definition_says(call: Call, dtype: torch.dtype) -> None:
    check(call, Draw(dtype, "cuda"))
