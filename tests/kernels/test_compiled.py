"""What kernels compile to, without a GPU: `pytest -m compile`, and every variant for all GPUs: `-m compile_all`."""

from __future__ import annotations

import pytest
import torch

from tests.kernels.call import Blank, Call, calls
from triptych.kernels.choice import ops_with_kernels
from triptych.kernels.compiling import Compiled, compiling_for

FIRST = list({call.op: call for call in reversed(calls("COMPILED"))}.values())
PRODUCTS = {80: {"mma.sync"}, 90: {"wgmma.mma_async"}, 100: {"tcgen05.mma"}}
ALL_DTYPES = [torch.bfloat16, torch.float16, torch.float32]


def compiled(call: Call, arch: int, dtype: torch.dtype) -> list[Compiled]:
    with compiling_for(arch) as found:
        call.outcome(call.kernel, call.make(Blank(dtype)))
    return found


def held(call: Call, arch: int, dtype: torch.dtype) -> None:
    found = compiled(call, arch, dtype)
    assert found, "nothing was launched"
    assert {one.kernel: problems for one in found if (problems := one.problems(arch))} == {}
    if dtype == torch.float32:  # is multiplied without tensor cores, and takes up all registers
        return
    if call.products:
        assert PRODUCTS[arch] & {one.products for one in found}
    if call.ahead:
        assert any(one.loads_ahead for one in found)


@pytest.mark.compile
@pytest.mark.parametrize("call", calls("COMPILED"), ids=str)
def test_a_kernel_compiles_for_an_h100(call: Call) -> None:
    held(call, 90, torch.bfloat16)


@pytest.mark.compile
@pytest.mark.parametrize(("arch", "dtype"), [(80, torch.float16), (100, torch.bfloat16)], ids=str)
@pytest.mark.parametrize("call", FIRST, ids=str)
def test_a_variant_compiles_for_the_gpus_before_and_after(call: Call, arch: int, dtype: torch.dtype) -> None:
    held(call, arch, dtype)


@pytest.mark.compile
def test_every_kernel_is_compiled() -> None:
    assert {call.op for call in FIRST} == set(ops_with_kernels())


@pytest.mark.compile_all
@pytest.mark.parametrize("dtype", ALL_DTYPES, ids=str)
@pytest.mark.parametrize("arch", [80, 90, 100])
@pytest.mark.parametrize("call", [*calls("COMPILED"), *calls("COMPILED_ALL")], ids=str)
def test_all_variants_compile_for_all_gpus(call: Call, arch: int, dtype: torch.dtype) -> None:
    held(call, arch, dtype)
