"""Routers and experts as parts."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from triptych.parts.moe_spec import MoeSpec
from triptych.parts.routers import TopK
from triptych.parts.routers_spec import TopKSpec
from triptych.parts.transforms import InputsLast, UnitColumns


def router(*, normalize: bool) -> TopK:
    part: TopK = TopKSpec(k=2, normalize=normalize).build(width=3, experts=4)
    part.weight = torch.nn.Parameter(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)))
    return part


@pytest.mark.parametrize("normalize", [True, False])
def test_the_largest_shares_of_a_softmax_are_chosen(*, normalize: bool) -> None:
    x, part = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)), router(normalize=normalize)
    chosen, shares = part(x)
    whole = (x @ part.weight.T).softmax(-1)
    assert torch.equal(chosen, whole.argsort(-1, descending=True)[:, :2])
    wanted = whole.gather(1, chosen)
    torch.testing.assert_close(shares, wanted / wanted.sum(-1, keepdim=True) if normalize else wanted)


def test_a_router_chooses_no_more_experts_than_there_are() -> None:
    with pytest.raises(ValidationError, match="a router that chooses 3 of 2 experts"):
        MoeSpec(experts=2, hidden=4, activation="silu", router=TopKSpec(k=3, normalize=True))


def test_matrices_are_turned_where_their_inputs_do_not_stand_last() -> None:
    turn, x = InputsLast(inputs=3), torch.randn(2, 5, 3)
    assert torch.equal(turn(x), x)
    assert torch.equal(turn(x.transpose(1, 2)), x)
    assert torch.equal(turn(x[:, :3]), x[:, :3])


def test_columns_are_normed_where_that_is_asked_for() -> None:
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(UnitColumns()(x).square().sum(0), torch.ones(3))
    assert UnitColumns(apply=False)(x) is x
