"""merge against the look-up and the merge that a model does without it."""

from __future__ import annotations

import pytest
import torch

from tests.kernels.call import Draw, poisoned
from triptych.assembly.merge import mask_placeholders, merge_embeddings
from triptych.errors import KernelError
from triptych.kernels.merge import kernel, merge, reference

IS_ITEM = torch.tensor([False, True, True, False, True])


def test_it_is_a_look_up_and_a_merge() -> None:
    draw = Draw(torch.float32)
    table, rows, ids = draw(11, 8), draw(3, 8), torch.tensor([4, 99, 99, 10, 99])
    wanted = table[mask_placeholders(ids, IS_ITEM)] * 1.5
    assert merge(ids, table, rows, IS_ITEM, scale=1.5).equal(merge_embeddings(wanted, [rows[:1], rows[1:]], IS_ITEM))


@pytest.mark.parametrize("op", [reference, pytest.param(kernel, marks=pytest.mark.interpret)], ids=["plain", "kernel"])
def test_a_place_without_a_row_is_no_number(op: object) -> None:
    draw = Draw(torch.float32)
    with poisoned():
        found = op.merge(torch.zeros(5, dtype=torch.int64), draw(11, 8), draw(2, 8), IS_ITEM, scale=1.0)  # type: ignore[attr-defined]
    assert found.isnan().all(-1).tolist() == [False, False, False, False, True]


@pytest.mark.interpret
def test_the_scale_is_rounded_first_as_in_plain_torch() -> None:
    draw = Draw(torch.float16)
    given = torch.arange(50).repeat(3), draw(50, 64), draw(0, 64), torch.zeros(150, dtype=torch.bool)
    assert kernel.merge(*given, scale=45.3).equal(reference.merge(*given, scale=45.3))


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(KernelError, match=r"merge: ids \(5,\), mask \(5,\), table \(7, 3\), rows of items \(2, 4\)"):
        merge(torch.zeros(5, dtype=torch.int64), torch.ones(7, 3), torch.ones(2, 4), IS_ITEM)
