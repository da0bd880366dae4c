"""Which calls the Triton kernels of attention take, and that the op hands them over."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.kernels.test_attention import CASES, drawn
from triptych.errors import KernelError
from triptych.kernels import cross_attention
from triptych.kernels.attention import Kept, Spans, attention, kernel
from triptych.kernels.choice import Kernels, using
from triptych.kernels.cross_attention import kernel as cross_kernel

ROWS = torch.zeros(3, 2, 8)
CACHE = Kept(torch.zeros(4, 2, 16, 8), torch.zeros(4, 2, 16, 8), [(0,)])


def refused(q: Any = ROWS, k: Any = ROWS, v: Any = ROWS, **options: Any) -> str | None:
    return kernel.refuses(q, k, v, **{"kept": None, "scale": 1.0, **options})


def test_what_is_refused_is_told_in_words() -> None:
    assert refused() is None
    assert refused(kept=CACHE) is None
    assert refused(*[ROWS.double()] * 3) == "rows are torch.float64"
    assert refused(v=ROWS.half()) == "rows are torch.float16, torch.float32"
    assert refused(*[torch.zeros(3, 2, 257)] * 3) == "heads are 257 wide, more than 256"
    assert refused(scale=-1.0) == "scores are multiplied by -1.0"
    apart = Kept(*(x.transpose(2, 3).contiguous().transpose(2, 3) for x in CACHE[:2]), [(0,)])
    assert refused(kept=apart) == "numbers of a cached row are apart"
    learnt = ROWS.clone().requires_grad_()
    assert refused(learnt) is None
    assert refused(learnt, kept=CACHE) == "gradients are asked of rows in a cache"
    with torch.no_grad():
        assert refused(learnt, kept=CACHE) is None


def test_pages_of_cross_attention_are_a_whole_number_of_rows_apart() -> None:
    assert cross_kernel.refuses(ROWS, CACHE, scale=1.0) is None
    odd = Kept(*(x.new_zeros(4 * 300).as_strided(x.shape, (300, 128, 8, 1)) for x in CACHE[:2]), [(0,)])
    assert cross_kernel.refuses(ROWS, odd, scale=1.0) == "pages of the cache do not begin a whole number of rows apart"


@pytest.mark.interpret
@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("case", ["ragged", "decodes, then chunks"])
def test_the_op_runs_its_kernel_where_it_is_asked_to(case: str, softcap: float | None) -> None:
    q, k, v, spans, kept = drawn(CASES[case])
    options: dict[str, Any] = {"spans": spans, "kept": kept, "scale": 0.3, "window": 5, "softcap": softcap}
    with using(Kernels.of("triton")):
        found = attention(q, k, v, **options)
    torch.testing.assert_close(found, attention(q, k, v, **options), rtol=1e-5, atol=1e-5)


@pytest.mark.interpret
def test_cross_attention_runs_its_kernel_where_it_is_asked_to() -> None:
    q, kept = torch.randn(3, 4, 8), Kept(torch.randn(4, 2, 16, 8), torch.randn(4, 2, 16, 8), [(2,), (1,)])
    options: dict[str, Any] = {"lengths": (5, 16), "spans": Spans.of([1, 2]), "scale": 0.3}
    with using(Kernels.of("triton")):
        found = cross_attention.cross_attention(q, kept, **options)
    torch.testing.assert_close(found, cross_attention.cross_attention(q, kept, **options), rtol=1e-5, atol=1e-5)


@pytest.mark.interpret
def test_what_the_kernel_does_not_take_is_an_error_where_it_is_asked_for() -> None:
    wide = torch.zeros(3, 2, 300)
    with using(Kernels.of("triton")), pytest.raises(KernelError, match="but heads are 300 wide, more than 256; `auto`"):
        attention(wide, wide, wide, spans=Spans.of([3]), scale=1.0)
