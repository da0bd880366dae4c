"""cross_entropy and linear_cross_entropy: what callers see."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from triptych.errors import KernelError
from triptych.kernels.cross_entropy import cross_entropy
from triptych.kernels.linear_cross_entropy import linear_cross_entropy
from triptych.kernels.linear_cross_entropy.kernel import MOST, rows_at_a_time

TARGETS = torch.tensor([3, -1, 0, 6, 2])


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape) + sum(shape)))


def test_losses_are_those_of_torch_with_logits_as_a_head_bounds_them() -> None:
    logits = drawn(5, 7)
    wanted = F.cross_entropy(3 * torch.tanh(0.5 * logits / 3), TARGETS, ignore_index=-1, reduction="none")
    torch.testing.assert_close(cross_entropy(logits, TARGETS, ignore=-1, scale=0.5, softcap=3.0), wanted)
    assert cross_entropy(logits.bfloat16(), TARGETS, ignore=-1).dtype == torch.float32


def test_after_a_matrix_it_is_the_mean_over_what_is_not_ignored() -> None:
    x, weight, bias = drawn(5, 4), drawn(7, 4), drawn(7)
    wanted = F.cross_entropy(x @ weight.T + bias, TARGETS, ignore_index=-1)
    torch.testing.assert_close(linear_cross_entropy(x, weight, TARGETS, bias=bias, ignore=-1), wanted)


def test_no_more_than_an_eighth_of_many_rows_has_logits_at_a_time() -> None:
    assert all(8 * rows_at_a_time(count) <= count for count in (2048, 5000, 8192, 2**20))
    assert rows_at_a_time(2**20) == MOST


def test_shapes_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(KernelError, match=r"cross_entropy: logits \(5, 7\) for targets \(4,\)"):
        cross_entropy(drawn(5, 7), TARGETS[:4])
    with pytest.raises(KernelError, match=r"rows \(5, 4\) for a weight \(7, 3\) and targets \(5,\)"):
        linear_cross_entropy(drawn(5, 4), drawn(7, 3), TARGETS)
    with pytest.raises(KernelError, match=r"a weight \(7, 4\), bias \(6,\) and targets"):
        linear_cross_entropy(drawn(5, 4), drawn(7, 4), TARGETS, bias=drawn(6))
