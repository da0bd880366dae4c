"""Pairs in the order of their experts, by the kernels that sort them: `pytest -m interpret`."""

from __future__ import annotations

import pytest
import torch

from tests.kernels.call import Draw

pytestmark = pytest.mark.interpret


@pytest.mark.parametrize(("rows", "k", "experts", "tile"), [(1, 1, 1, 16), (9, 4, 40, 16), (1100, 4, 7, 64)], ids=str)
def test_pairs_are_sorted_as_a_stable_sort_does_and_each_is_in_one_tile(
    rows: int, k: int, experts: int, tile: int
) -> None:
    from triptych.kernels.moe.on_gpu.sorting import sort_pairs

    chosen = Draw(torch.float32).whole(experts + 2, rows, k, dtype=torch.int64)
    found = sort_pairs(chosen, experts, tile)
    bounded = chosen.flatten().clamp(max=experts)
    assert found.order.equal(bounded.argsort(stable=True).int())
    counts = bounded.bincount(minlength=experts + 1)
    assert found.offsets.equal((counts.cumsum(0) - counts).int())
    wanted = [(e, int(found.offsets[e]) + first) for e in range(experts) for first in range(0, int(counts[e]), tile)]
    used = int(found.used)
    assert used <= found.most
    assert list(zip(found.tile_experts[:used].tolist(), found.tile_rows[:used].tolist(), strict=True)) == wanted


def test_of_no_rows_experts_get_noughts() -> None:
    from triptych.kernels.activations import silu
    from triptych.kernels.moe.inner import Gated
    from triptych.kernels.moe.kernel import moe

    given = [torch.ones(shape).requires_grad_() for shape in ((0, 8), (3, 12, 8), (3, 8, 6))]
    options = {"chosen_TK": torch.zeros(0, 2, dtype=torch.int64), "shares_TK": torch.zeros(0, 2)}
    y = moe(*given, **options, inner=Gated(silu), biases=None, shares_of_inputs=False)
    assert all(
        grad.equal(torch.zeros_like(x)) for x, grad in zip(given, torch.autograd.grad(y.sum(), given), strict=True)
    )
