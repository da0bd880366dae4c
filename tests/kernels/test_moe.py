"""Experts that rows are routed to, against the definition written out row by row."""
# T rows, D width, E experts, K chosen, H width inside an expert

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from triptych.errors import KernelError
from triptych.kernels.gated import gated
from triptych.kernels.moe import moe

SIZES = st.sampled_from([1, 2, 3, 8, 63])


def written_out(x: Tensor, gate_up: Tensor, down: Tensor, chosen: Tensor, shares: Tensor) -> Tensor:
    rows = []
    for row, numbers, weights in zip(x, chosen, shares, strict=True):
        found = torch.zeros_like(row)
        for number, weight in zip(numbers.tolist(), weights, strict=True):
            gate, up = (gate_up[number] @ row).chunk(2)
            found = found + weight * (down[number] @ (F.silu(gate) * up))
        rows.append(found)
    return torch.stack(rows)


def drawn(rows: int, count: int, width: int, hidden: int, k: int) -> tuple[Tensor, ...]:
    draw = torch.Generator().manual_seed(rows + count)
    x, shares = torch.randn(rows, width, generator=draw), torch.rand(rows, k, generator=draw)
    gate_up = torch.randn(count, 2 * hidden, width, generator=draw) / width**0.5
    down = torch.randn(count, width, hidden, generator=draw) / hidden**0.5
    chosen = torch.rand(rows, count, generator=draw).topk(k).indices
    return x, gate_up, down, chosen, shares


def run(x: Tensor, gate_up: Tensor, down: Tensor, chosen: Tensor, shares: Tensor) -> Tensor:
    return moe(x, gate_up, down, chosen_TK=chosen, shares_TK=shares, inner=partial(gated, activation=F.silu))


@settings(max_examples=30, deadline=None)
@given(rows=SIZES, count=st.integers(1, 9), width=SIZES, hidden=SIZES, data=st.data())
def test_a_row_is_the_sum_of_its_experts_by_their_shares(
    rows: int, count: int, width: int, hidden: int, data: st.DataObject
) -> None:
    given_ = drawn(rows, count, width, hidden, data.draw(st.integers(1, count)))
    torch.testing.assert_close(run(*given_), written_out(*given_), atol=1e-5, rtol=1e-5)


def test_a_number_past_the_last_expert_gives_back_what_it_is_given() -> None:
    x, gate_up, down, chosen, shares = drawn(9, 5, 16, 8, 3)
    chosen[2, 1], chosen[5], chosen[7, 0] = 5, torch.tensor([6, 0, 5]), 9
    idle = chosen >= 5
    kept = run(x, gate_up, down, chosen.masked_fill(idle, 0), shares * ~idle)
    wanted = kept + x * (shares * idle).sum(-1, keepdim=True)
    torch.testing.assert_close(run(x, gate_up, down, chosen, shares), wanted)


def test_a_row_alone_is_the_row_in_a_batch() -> None:
    x, gate_up, down, chosen, shares = drawn(9, 5, 16, 8, 2)
    together = run(x, gate_up, down, chosen, shares)
    for n in range(9):
        alone = run(x[n : n + 1], gate_up, down, chosen[n : n + 1], shares[n : n + 1])
        torch.testing.assert_close(alone[0], together[n])


def test_rows_that_are_strided_are_as_good() -> None:
    x, *rest = drawn(7, 3, 8, 4, 2)
    strided = torch.stack([x, x], -1)[..., 0]
    torch.testing.assert_close(run(strided, *rest), run(x, *rest))


def test_without_values_there_is_the_shape() -> None:
    given_ = [each.to("meta") for each in drawn(7, 3, 8, 4, 2)]
    assert run(*given_).shape == (7, 8)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", range(5))
def test_shapes_that_do_not_go_together_are_refused(wrong: int) -> None:
    given_ = [*drawn(7, 3, 8, 4, 2)]
    given_[wrong] = given_[wrong][:, :1] if wrong else given_[wrong][:, 1:]
    with pytest.raises(KernelError, match=r"moe: rows \(7, .*chosen with shares.*for experts"):
        run(*given_)  # type: ignore[arg-type]
