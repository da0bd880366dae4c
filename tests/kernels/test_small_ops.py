"""rotary, gated and linear against their definitions written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from triptych.errors import KernelError
from triptych.kernels.gated import gated
from triptych.kernels.linear import linear, turned, widened
from triptych.kernels.rotary import rotary


def tables(rows: int, width: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine [T, 1, width / 2] of an angle for each row and pair."""
    angles = torch.randn(rows, 1, width // 2, generator=torch.Generator().manual_seed(3)) * 4
    return angles.cos(), angles.sin()


def heads(rows: int, width: int) -> Tensor:
    return torch.randn(rows, 3, width, generator=torch.Generator().manual_seed(4))


def test_rotary_equals_transformers() -> None:
    x, (cos, sin) = heads(7, 16), tables(7, 16)
    wide_cos, wide_sin = (torch.cat((t, t), -1)[:, 0][None] for t in (cos, sin))
    expected = apply_rotary_pos_emb(x.transpose(0, 1)[None], x.transpose(0, 1)[None], wide_cos, wide_sin)[0][0]
    found = rotary(x, torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1))
    torch.testing.assert_close(found, expected.transpose(0, 1))


def test_interleaved_rotary_turns_neighbours_as_complex_numbers() -> None:
    x, (cos, sin) = heads(7, 16), tables(7, 16)
    expected = torch.view_as_real(torch.view_as_complex(x.view(7, 3, 8, 2)) * torch.complex(cos, sin)).flatten(-2)
    cos, sin = cos.repeat_interleave(2, -1), torch.stack((-sin, sin), -1).flatten(-2)
    torch.testing.assert_close(rotary(x, cos, sin, interleaved=True), expected)


@pytest.mark.parametrize("interleaved", [True, False])
def test_channels_past_the_tables_stay(interleaved: bool) -> None:
    x, (cos, sin) = heads(7, 16), tables(7, 12)
    found = rotary(x, torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1), interleaved=interleaved)
    assert found[..., 12:].equal(x[..., 12:])
    assert not found[..., :12].isclose(x[..., :12]).all()


def test_rotary_takes_a_strided_view() -> None:
    x, (cos, sin) = heads(7, 40)[..., 8:24], tables(7, 16)
    cos, sin = torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1)
    assert rotary(x, cos, sin).equal(rotary(x.contiguous(), cos, sin))


@pytest.mark.parametrize("shape", [(7, 1, 18), (6, 1, 16)])
def test_tables_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(KernelError, match="rotary: tables"):
        rotary(heads(7, 16), torch.zeros(shape), torch.zeros(shape))


def test_gated_is_the_activation_of_the_first_half_times_the_second() -> None:
    x = torch.randn(5, 12, generator=torch.Generator().manual_seed(0))
    assert gated(x, torch.tanh).equal(x[:, :6].tanh() * x[:, 6:])
    with pytest.raises(KernelError, match="two halves"):
        gated(x[:, :11], torch.tanh)


@pytest.mark.parametrize("block", [1, 40, widened.BLOCK])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_widened_rows_differ_by_the_last_rounding_alone(
    dtype: torch.dtype, bias: bool, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(widened, "BLOCK", block)
    make = torch.Generator().manual_seed(5)
    x, weight, b = (torch.randn(*shape, generator=make).to(dtype) for shape in ((2, 5, 12), (7, 12), (7,)))
    expected = x.float() @ weight.float().T + (b.float() if bias else 0)
    found = widened.linear(x, weight, b if bias else None)
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), expected, rtol=torch.finfo(dtype).eps, atol=1e-6)


def test_rows_are_widened_or_turned_only_on_a_cpu_of_avx2(monkeypatch: pytest.MonkeyPatch) -> None:
    half, wide = torch.zeros(1, dtype=torch.bfloat16), torch.zeros(1)
    monkeypatch.setattr(turned, "is_avx2", lambda: True)
    assert [widened.suits(half, rows) for rows in (widened.ROWS - 1, widened.ROWS, 9999)] == [False, True, True]
    assert [turned.suits(wide, rows) for rows in (1, 2, turned.MANY - 1, turned.MANY)] == [False, True, True, False]
    assert not any(op.suits(x, 64) for op, x in ((widened, wide), (turned, half)))
    assert not any(op.suits(x.to("meta"), 64) for op, x in ((widened, half), (turned, wide)))
    monkeypatch.setattr(turned, "is_avx2", lambda: False)
    assert not any(op.suits(x, 64) for op, x in ((widened, half), (turned, wide)))


@pytest.mark.parametrize("rows", [1, 2, 5, 64, 200])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_however_many_rows_there_are_each_is_multiplied_and_lies_as_one_would_think(
    bias: bool, dtype: torch.dtype, rows: int
) -> None:
    make = torch.Generator().manual_seed(6)
    x, weight, b = (torch.randn(*shape, generator=make).to(dtype) for shape in ((rows, 3, 12), (7, 12), (7,)))
    for taken in (x, x[:, 1]):
        found = linear(taken, weight, b if bias else None)
        expected = taken.double() @ weight.double().T + (b.double() if bias else 0)
        assert found.is_contiguous()
        rtol = 1e-6 if dtype == torch.float32 else torch.finfo(dtype).eps
        torch.testing.assert_close(found.double(), expected, rtol=rtol, atol=2e-6 if dtype == torch.float32 else 3e-2)


@pytest.mark.parametrize("bias", [True, False])
def test_linear_is_rows_times_the_transposed_weight(bias: bool) -> None:
    x, weight, b = torch.randn(5, 6), torch.randn(4, 6), torch.randn(4) if bias else None
    torch.testing.assert_close(linear(x, weight, b), x @ weight.T + (b if b is not None else 0))
    with pytest.raises(KernelError, match=r"rows \(5, 6\) for a weight \(6, 4\)"):
        linear(x, weight.T)
