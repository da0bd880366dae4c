"""Attention to chosen rows equals attention over all rows with the others masked."""

from __future__ import annotations

import pytest
import torch

from triptych.errors import KernelError
from triptych.kernels.chosen import attention_to_chosen, reference


@pytest.mark.parametrize("at_once", [1, 64, 2**24])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_that_are_not_chosen_or_come_later_are_not_seen(
    at_once: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "AT_ONCE", at_once)
    draw = torch.Generator().manual_seed(0)
    q, rows = (torch.randn(shape, generator=draw).to(dtype) for shape in ((7, 3, 5), (11, 5)))
    # of each row itself, so that one at least is seen, and five others
    orders = [torch.randperm(10, generator=draw)[:5] for _ in range(7)]
    chosen = torch.stack([torch.cat((torch.tensor([at]), order + (order >= at))) for at, order in enumerate(orders, 4)])
    seen = torch.zeros(7, 11, dtype=torch.bool).scatter(1, chosen, value=True).tril(4)
    scores = torch.einsum("thc,sc->ths", q.float(), rows.float()) * 0.3
    wanted = scores.masked_fill(~seen[:, None], -torch.inf).softmax(-1) @ rows.float()
    found = attention_to_chosen(q, rows, chosen, past=4, scale=0.3)
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), wanted, atol=1e-6 if dtype == torch.float32 else 2e-2, rtol=0)


def test_shapes_that_do_not_fit_are_told() -> None:
    with pytest.raises(KernelError, match=r"q \(2, 1, 4\), rows \(5, 4\), chosen \(2, 3\) after 2 rows"):
        attention_to_chosen(
            torch.zeros(2, 1, 4), torch.zeros(5, 4), torch.zeros(2, 3, dtype=torch.long), past=2, scale=1
        )
