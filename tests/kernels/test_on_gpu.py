"""Kernels on a GPU against their definitions: `pytest -m gpu`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves

from tests.kernels.call import Call, Draw, calls, check
from triptych.kernels.attention import Kept, Spans, attention
from triptych.kernels.choice import Kernels, using
from triptych.kernels.gated import gated
from triptych.kernels.rms_norm import rms_norm
from triptych.kernels.rotary import rotary

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]
DTYPES = [torch.float32, torch.float16, torch.bfloat16]
ALL = [*calls("INTERPRETED"), *calls("COMPILED"), *calls("COMPILED_ALL")]
FAR = 2**31  # numbers of a tensor, past which an offset needs 64 bits


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("call", ALL, ids=str)
def test_a_kernel_does_what_its_definition_says(call: Call, dtype: torch.dtype) -> None:
    check(call, Draw(dtype, "cuda"))


@pytest.mark.parametrize("call", calls("COMPILED"), ids=str)
@torch.inference_mode()
def test_a_graph_that_is_replayed_sees_the_numbers_of_now(call: Call) -> None:
    given, later = (call.make(Draw(torch.bfloat16, "cuda", seed=seed)) for seed in (1, 2))
    wanted = tree_leaves(call.kernel(**call.make(Draw(torch.bfloat16, "cuda", seed=2))))
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        call.kernel(**call.make(Draw(torch.bfloat16, "cuda", seed=3)))  # compiled before
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = tree_leaves(call.kernel(**given))
    for old, new in zip(tensors(given), tensors(later), strict=True):
        old.copy_(new)
    graph.replay()
    torch.cuda.synchronize()
    assert all(y.equal(true) for y, true in zip(found, wanted, strict=True))


def tensors(given: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(given) if isinstance(leaf, Tensor)]


BY_ROWS: dict[str, Callable[[Tensor], Tensor]] = {
    "rms_norm": lambda x: rms_norm(x, torch.ones_like(x[0]), eps=1e-5),
    "gated": lambda x: gated(x, F.silu),
    "rotary": lambda x: rotary(x.view(-1, 32, 128), *(torch.ones(len(x), 1, 128, device="cuda").to(x),) * 2).flatten(1),
}


@pytest.mark.parametrize("op", BY_ROWS)
@torch.inference_mode()
def test_rows_that_lie_far_are_found(op: str) -> None:
    x = torch.randn(FAR // 4096 + 3, 4096, device="cuda", dtype=torch.bfloat16)
    with using(Kernels.of("triton")):
        found = BY_ROWS[op](x)
    assert found[-5:].equal(BY_ROWS[op](x[-5:].contiguous()))


@torch.inference_mode()
def test_pages_that_lie_far_are_found() -> None:
    count = FAR // (8 * 64 * 128) + 3
    k, v = (torch.randn(count, 8, 64, 128, device="cuda", dtype=torch.bfloat16) for _ in "kv")
    q, own = (torch.randn(1, heads, 128, device="cuda", dtype=torch.bfloat16) for heads in (32, 8))
    far, near = (Kept(*pages, [[0, 1]]) for pages in ((k, v), (k[-2:].clone(), v[-2:].clone())))
    far = far._replace(tables=[[count - 2, count - 1]])
    spans = Spans.of([1], [100])
    with using(Kernels.of("triton")):
        found, wanted = (attention(q, own, own, spans=spans, kept=kept, scale=0.1) for kept in (far, near))
    assert found.equal(wanted)
