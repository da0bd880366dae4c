"""qk_norm_rope_cache against the ops that it is in one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.kernels.call import Draw
from triptych.errors import KernelError
from triptych.kernels.qk_norm_rope_cache import Norm, Turn, qk_norm_rope_cache
from triptych.kernels.rms_norm import rms_norm
from triptych.kernels.rotary import rotary
from triptych.parts.cache import Cache
from triptych.parts.cache_layout import Layout
from triptych.parts.cache_needs import Rows

H, G, K, V, PAGE = 4, 2, 8, 6, 16


def given(rows: int) -> dict[str, Tensor]:
    draw = Draw(torch.float32)
    return {
        "qkv_TC": draw(rows, H * K + G * (K + V)),
        "slots_T": torch.arange(rows),
        "k_pages": torch.zeros(3, G, PAGE, K),
        "v_pages": torch.zeros(3, G, PAGE, V),
    }


@pytest.mark.parametrize("last", [True, False])
def test_it_is_norm_and_turn_and_what_a_cache_writes(last: bool) -> None:
    """Two sequences: rows 3 to 20 of one, in pages 2 and 0, and row 5 of another, in page 1."""
    draw, op = Draw(torch.float32), given(18)
    q_weight, k_weight, cos, sin = draw(K), draw(K), draw(18, 1, 4), draw(18, 1, 4)
    needs = {"mixer": Rows(G, (K, V), None, None)}
    cache = Cache(Layout.whole(needs, pages=3, page=PAGE), dtype=torch.float32)
    step = cache.step_in([17, 1], past=[3, 5], tables=[[(2, 0), (1,)]])
    op["slots_T"] = torch.tensor([*range(2 * PAGE + 3, 3 * PAGE), *range(4), PAGE + 5])
    found = qk_norm_rope_cache(**op, norm=Norm(q_weight, k_weight, 1e-2, last=last), turn=Turn(cos, sin))
    qkv = op["qkv_TC"]
    heads = [qkv[:, : H * K].view(-1, H, K), qkv[:, H * K : (H + G) * K].view(-1, G, K)]
    weights = [q_weight, k_weight]
    if last:
        heads = [rotary(x, cos, sin) for x in heads]
    heads = [rms_norm(x, weight, eps=1e-2) for x, weight in zip(heads, weights, strict=True)]
    if not last:
        heads = [rotary(x, cos, sin) for x in heads]
    wanted = [*heads, qkv[:, (H + G) * K :].view(-1, G, V)]
    torch.testing.assert_close([*found], wanted)
    kept = cache.write("mixer", wanted[1:], step)
    torch.testing.assert_close([op["k_pages"], op["v_pages"]], [kept.k, kept.v])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"v_pages": torch.zeros(2, G, PAGE, V)}, r"pages \(3, 2, 16, 8\) of keys, \(2, 2, 16, 6\) of values"),
        ({"qkv_TC": torch.zeros(5, 61)}, r"rows \(5, 61\) for pages"),
        ({"slots_T": torch.arange(4)}, r"places \(4,\) for 5 rows"),
        ({"norm": Norm(torch.ones(K), None, 0.1)}, "not both as wide as heads, 8"),
        ({"turn": Turn(torch.ones(5, 1, 4), torch.ones(4, 1, 4))}, r"tables \(5, 1, 4\) and \(4, 1, 4\) for 5 rows"),
    ],
)
def test_what_does_not_fit_together_is_refused(wrong: dict[str, Any], told: str) -> None:
    options = {**given(5), "norm": None, "turn": None, **wrong}
    with pytest.raises(KernelError, match=told):
        qk_norm_rope_cache(**options)
