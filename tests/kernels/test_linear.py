"""Packed weights give the numbers of plain ones, and are plain parameters to all but the op."""

import copy
import io

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from triptych.kernels.linear import linear, packed
from triptych.kernels.linear.packed import PackedWeight, agrees, pays

FLOOR = {torch.float32: 1e-5, torch.bfloat16: 1e-2}


def weight_of(out: int = 24, inner: int = 40, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(out, inner, generator=torch.Generator().manual_seed(out), dtype=torch.float32).to(dtype)


def packed_weight() -> tuple[PackedWeight, Tensor]:
    weight = weight_of()
    return PackedWeight(nn.Parameter(weight, requires_grad=False)), weight


def dtypes() -> list[torch.dtype]:
    return [torch.float32, *([torch.bfloat16] if torch.backends.cpu.get_cpu_capability() != "AVX2" else [])]


@pytest.mark.parametrize("dtype", dtypes())
def test_the_private_ops_of_torch_are_there_and_give_the_numbers_of_its_public_one(dtype):
    assert agrees(dtype), "torch's packing ops are gone or changed: linear goes without them"


def test_ops_that_are_gone_or_give_other_numbers_are_not_used(monkeypatch):
    changes = [
        (F, "linear", lambda x, weight: x @ weight.T * 1.1),
        (Tensor, "to_dense", lambda self: torch.zeros(self.shape)),
        (packed, "_packed", lambda _: torch.ops.mkldnn.no_such_op()),
    ]
    for owner, name, changed in changes:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, changed)
            assert not agrees(torch.float32), name
    assert agrees(torch.float32)


@settings(max_examples=40, deadline=None)
@given(
    lead=st.lists(st.integers(0, 5), max_size=2).map(tuple),
    widths=st.tuples(st.sampled_from([1, 5, 64]), st.sampled_from([1, 7, 40, 63])),
    bias=st.sampled_from(["none", "whole", "strided"]),
    layout=st.sampled_from(["whole", "strided", "spread"]),
    dtype=st.sampled_from(dtypes()),
)
def test_a_product_with_a_packed_weight_is_that_with_the_plain_one(lead, widths, bias, layout, dtype):
    out, inner = widths
    weight = weight_of(out, inner, dtype)
    x = torch.randn(*lead, inner * 2).to(dtype)
    x = {"whole": x[..., :inner].contiguous(), "strided": x[..., ::2], "spread": x[..., :1].expand(*lead, inner)}[
        layout
    ]
    b = None if bias == "none" else torch.randn(2 * out).to(dtype)[:: 2 if bias == "strided" else 1][:out]
    with torch.inference_mode():
        made = PackedWeight(weight)
        found, wanted = linear(x, made, b), F.linear(x, weight, b)
    assert made.packed is not None
    assert found.shape == wanted.shape
    torch.testing.assert_close(found, wanted, rtol=FLOOR[dtype], atol=FLOOR[dtype] * inner)


def test_a_look_at_the_numbers_lays_them_out_plainly_and_they_are_the_same():
    made, weight = packed_weight()
    assert torch.equal(made, weight)
    assert made.packed is None
    with torch.inference_mode():
        assert torch.equal(linear(weight[:3], made), F.linear(weight[:3], weight))


def test_what_is_written_to_a_packed_weight_counts():
    def through_view(made: PackedWeight) -> None:
        made[:3].fill_(2)

    def through_data(made: PackedWeight) -> None:
        made.data[:3] = 2

    def new_data(made: PackedWeight) -> None:
        made.data = torch.cat([torch.full((3, 40), 2.0), weight_of()[3:]])

    for write in (through_view, through_data, new_data):
        made, weight = packed_weight()
        write(made)
        wanted = torch.cat([torch.full_like(weight[:3], 2), weight[3:]])
        with torch.inference_mode():
            assert torch.equal(linear(weight[:2], made), F.linear(weight[:2], wanted)), write.__name__


def test_a_module_of_a_packed_weight_saves_loads_copies_and_moves():
    def module() -> tuple[nn.Module, Tensor]:
        holder = nn.Module()
        holder.weight, weight = packed_weight()
        return holder, weight

    holder, weight = module()
    file = io.BytesIO()
    torch.save(holder.state_dict(), file)
    file.seek(0)
    assert torch.equal(torch.load(file)["weight"], weight)
    holder, weight = module()
    holder.load_state_dict({"weight": weight + 1})
    assert torch.equal(holder.weight, weight + 1)
    assert torch.equal(copy.deepcopy(module()[0]).weight, weight)
    assert torch.equal((moved := module()[0].double()).weight + 0, weight.double())
    assert moved.weight.dtype == torch.float64
    assert module()[0].to("meta").weight.device.type == "meta"
    assert module()[0].weight.data_ptr() != 0


def test_gradients_flow_through_a_packed_weight_and_to_one_that_asks_for_them():
    made, weight = packed_weight()
    x = torch.ones(2, 40, requires_grad=True)
    linear(x, made).sum().backward()
    torch.testing.assert_close(x.grad, weight.sum(0).expand(2, 40))
    made, _ = packed_weight()
    linear(torch.ones(2, 40), made.requires_grad_()).sum().backward()
    assert torch.equal(made.grad, torch.full((24, 40), 2.0))


@pytest.mark.parametrize(
    "weight",
    [nn.Parameter(torch.ones(4, 4)), torch.ones(4), torch.ones(0, 4), torch.ones(4, 4, device="meta")],
    ids=["it is trained", "no matrix", "empty", "on meta"],
)
def test_what_the_op_does_not_take_or_is_trained_is_left_as_it_is(weight, monkeypatch):
    monkeypatch.setattr(packed, "_works", lambda _: True)
    assert pays(torch.ones(4, 4))
    assert not pays(weight)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_only_bfloat16_is_packed(dtype):
    assert not pays(torch.ones(4, 4, dtype=dtype))
    assert pays(torch.ones(4, 4, dtype=torch.bfloat16)) == agrees(torch.bfloat16)
