"""prepare_step against what a step is that the host makes."""

from __future__ import annotations

import pytest
import torch

from triptych.errors import KernelError
from triptych.kernels.prepare_step import StepTable, prepare_step
from triptych.parts.cache import Cache
from triptych.parts.cache_layout import Layout
from triptych.parts.cache_needs import Rows

PAGE = 16


def table() -> StepTable:
    """Four requests; the one in row 1 has read 20 tokens of 25, that in row 3 writes its seventh."""
    pages = torch.full((1, 4, 3), -1)
    pages[0, 1, :2], pages[0, 3, 0] = torch.tensor([5, 2]), 4
    return StepTable(
        tokens=torch.arange(4 * 30, dtype=torch.int32).view(4, 30),
        known=torch.tensor([0, 25, 0, 6], dtype=torch.int32),
        last=torch.tensor([0, 0, 0, 777]),
        computed=torch.tensor([0, 20, 0, 6], dtype=torch.int32),
        delta=torch.zeros(4, dtype=torch.int32),
        pages=pages.int(),
        page_sizes=torch.tensor([PAGE], dtype=torch.int32),
    )


def test_the_inputs_are_those_of_a_step_of_the_host() -> None:
    packed = torch.tensor([3, 1, 0, 1, 6], dtype=torch.int32)
    found = prepare_step(packed, table(), requests=2, size=8)
    cache = Cache(Layout.whole({"it": Rows(1, (4, 4))}, pages=6, page=PAGE), dtype=torch.float32)
    step = cache.step_in([1, 5], past=[6, 20], tables=[[(4,), (5, 2)]])
    assert found.ids.tolist() == [777, *range(30 + 20, 30 + 25), 0, 0]
    assert found.positions.tolist() == [*step.positions.tolist(), 0, 0]
    assert found.slots.tolist() == [[*cache.row_slots("it", step).tolist(), -1, -1]]
    assert found.lengths.tolist() == [*step.lengths]
    assert found.logit_rows.tolist() == [0, 5]


def test_a_token_stands_so_far_past_its_number_as_the_table_says() -> None:
    moved = table()._replace(delta=torch.tensor([0, 0, 0, -4], dtype=torch.int32))
    assert prepare_step(torch.tensor([3, 0, 1]).int(), moved, requests=1, size=1).positions.tolist() == [2]


def test_a_plan_of_another_length_is_refused() -> None:
    with pytest.raises(KernelError, match=r"a plan \(4,\) of 2 requests"):
        prepare_step(torch.zeros(4, dtype=torch.int32), table(), requests=2, size=2)
