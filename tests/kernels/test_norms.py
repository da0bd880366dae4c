"""Norms against transformers' own classes, bit for bit where they agree on the order of casts."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.olmo2.modeling_olmo2 import Olmo2RMSNorm

from triptych.errors import KernelError
from triptych.kernels.layer_norm import layer_norm
from triptych.kernels.rms_norm import fused, mirrored, reference, rms_norm

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
ORACLES = {
    "llama": (LlamaRMSNorm, 0.0, True),
    "olmo2": (Olmo2RMSNorm, 0.0, False),
    "gemma": (GemmaRMSNorm, 1.0, False),
}


def drawn(*shape: int, dtype: torch.dtype, seed: int = 0) -> Tensor:
    return (torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 3 + 0.5).to(dtype)


@pytest.mark.parametrize("width", [1, 63, 100, 576])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("oracle", ORACLES)
@torch.no_grad()
def test_rms_norm_equals_transformers(oracle: str, dtype: torch.dtype, width: int) -> None:
    made, offset, cast_first = ORACLES[oracle]
    norm = made(width, eps=1e-2)
    norm.weight = nn.Parameter(drawn(width, dtype=dtype, seed=1))
    x = drawn(5, width, dtype=dtype)
    found = rms_norm(x, norm.weight, eps=1e-2, offset=offset, cast_first=cast_first)
    assert found.dtype == dtype
    torch.testing.assert_close(found, norm(x), rtol=0 if dtype != torch.float32 else 1e-6, atol=1e-7)


@pytest.mark.parametrize("rows", [1, 33])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("offset", "cast_first"), [(0.0, True), (0.0, False), (1.0, True), (1.0, False)])
def test_the_fused_rms_norm_gives_the_bits_of_the_definition(
    offset: float, cast_first: bool, dtype: torch.dtype, rows: int
) -> None:
    x, weight = drawn(rows, 100, dtype=dtype), drawn(100, dtype=dtype, seed=1)
    options = {"eps": 1e-2, "offset": offset, "cast_first": cast_first}
    assert fused.rms_norm(x, weight, **options).equal(reference.rms_norm(x, weight, **options))


@given(
    rows=st.integers(1, mirrored.ROWS),
    width=st.integers(1, 300),
    size=st.floats(1e-3, 1e3),
    dtype=st.sampled_from([torch.bfloat16, torch.float16]),
    seed=st.integers(0, 999),
)
def test_the_mirrored_rms_norm_is_as_near_the_truth_as_the_definition(
    rows: int, width: int, size: float, dtype: torch.dtype, seed: int
) -> None:
    x, weight = (drawn(rows, width, dtype=torch.float32, seed=seed) * size).to(dtype), drawn(width, dtype=dtype, seed=1)
    wide = x.double()
    normed = wide / (wide.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    for op in (mirrored.rms_norm, partial(reference.rms_norm, offset=0.0, cast_first=True)):
        found = op(x, torch.ones_like(weight), eps=1e-5)
        torch.testing.assert_close(found.double(), normed, rtol=torch.finfo(dtype).eps * 0.501, atol=1e-7)
        assert op(x, weight, eps=1e-5).equal(found * weight)


@torch.inference_mode()
def test_the_mirrored_rms_norm_takes_a_few_rows_of_half_precision_on_a_cpu_without_gradients() -> None:
    x = drawn(1, mirrored.ROWS, 6, dtype=torch.bfloat16)
    assert mirrored.suits(x, offset=0.0, cast_first=True)
    others = [drawn(mirrored.ROWS + 1, 6, dtype=torch.bfloat16), x.float(), x.to("meta")]
    assert not any(mirrored.suits(other, offset=0.0, cast_first=True) for other in others)
    assert not mirrored.suits(x, offset=1.0, cast_first=True)
    assert not mirrored.suits(x, offset=0.0, cast_first=False)
    with torch.inference_mode(False):
        assert not mirrored.suits(x, offset=0.0, cast_first=True)


def test_the_order_of_cast_and_weight_shows_in_half_precision() -> None:
    x, weight = drawn(50, 64, dtype=torch.bfloat16), drawn(64, dtype=torch.bfloat16, seed=1)
    assert not rms_norm(x, weight, eps=1e-5).equal(rms_norm(x, weight, eps=1e-5, cast_first=False))


@pytest.mark.parametrize("cast_first", [True, False])
def test_rms_norm_takes_strided_rows_and_any_leading_shape(cast_first: bool) -> None:
    x, weight = drawn(4, 3, 20, dtype=torch.float32)[..., 4:14], drawn(10, dtype=torch.float32, seed=1)
    found = rms_norm(x, weight, eps=1e-5, cast_first=cast_first)
    torch.testing.assert_close(found, rms_norm(x.contiguous(), weight, eps=1e-5, cast_first=cast_first))


def test_rms_norm_passes_gradients() -> None:
    found, expected = ([drawn(*shape, dtype=torch.float32).requires_grad_() for shape in ((3, 8), (8,))] for _ in "ab")
    rms_norm(*found, eps=1e-2).square().sum().backward()
    torch.nn.functional.rms_norm(expected[0], (8,), expected[1], 1e-2).square().sum().backward()
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("with_bias", [True, False])
def test_layer_norm_equals_its_definition(with_bias: bool, dtype: torch.dtype) -> None:
    x, weight = drawn(5, 100, dtype=dtype), drawn(100, dtype=dtype, seed=1)
    bias = drawn(100, dtype=dtype, seed=2) if with_bias else None
    wide = x.double()
    expected = (wide - wide.mean(-1, True)) / (wide.var(-1, correction=0, keepdim=True) + 1e-2).sqrt() * weight.double()
    expected = expected + bias.double() if bias is not None else expected
    found = layer_norm(x, weight, bias, eps=1e-2)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), expected, rtol=1e-5 if dtype == torch.float32 else 1e-2, atol=1e-2)


def test_a_weight_of_another_width_is_refused() -> None:
    with pytest.raises(KernelError, match=r"rms_norm: weight \(6,\) for rows \(2, 5\)"):
        rms_norm(torch.zeros(2, 5), torch.zeros(6), eps=1e-5)
    with pytest.raises(KernelError, match=r"layer_norm: weight \(5,\), bias \(4,\) for rows \(2, 5\)"):
        layer_norm(torch.zeros(2, 5), torch.zeros(5), torch.zeros(4), eps=1e-5)
