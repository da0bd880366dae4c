"""Attention whose queries, keys and values one kernel makes and keeps, in Triton's interpreter."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from triptych.kernels.choice import Kernels, using
from triptych.parts.attention import Attention
from triptych.parts.attention_spec import AttentionSpec, HeadNorms
from triptych.parts.cache import Cache
from triptych.parts.cache_layout import Layout
from triptych.parts.fused_heads import OP, fused
from triptych.parts.norms_spec import LayerNormSpec, RmsNormSpec
from triptych.parts.rope_spec import RopeSpec
from triptych.parts.step import Step

SIZES = {"heads": 4, "kv_heads": 2, "head_dim": 8}
ROPE = RopeSpec(theta=100.0)
NORM = RmsNormSpec(eps=1e-2, offset=1.0, cast="after")
STEPS = [([5, 19], [0, 0]), ([1, 1], [5, 19]), ([1, 14], [6, 20])]  # new rows of two sequences, and older ones
FUSED: list[dict[str, Any]] = [
    {"position": ROPE},
    {"position": RopeSpec(theta=100.0, fraction=0.5, interleaved=True), "value_dim": 6},
    {"position": ROPE, "qk_norm": HeadNorms(norm=NORM, when="before")},
    {"position": ROPE, "qk_norm": HeadNorms(norm=RmsNormSpec(eps=1e-2), when="after"), "reach": {"window": 4}},
    {"qk_norm": HeadNorms(norm=RmsNormSpec(eps=1e-2, weight=False))},
]
NOT_FUSED: list[dict[str, Any]] = [
    {},
    {"position": ROPE, "qk_norm": HeadNorms(clip=1.0)},
    {"position": ROPE, "reach": {"causal": False}},
    {"position": ROPE, "qk_norm": HeadNorms(norm=RmsNormSpec(eps=1e-2), over="all")},
    {"position": ROPE, "qk_norm": HeadNorms(norm=LayerNormSpec(eps=1e-2))},
    {"position": ROPE, "qk_norm": HeadNorms(norm=NORM, values=NORM)},
]


def built(fields: dict[str, Any]) -> Attention:
    drawn = torch.Generator().manual_seed(3)
    part = Attention(AttentionSpec(**SIZES, **fields), width=8, key="it")
    values = {name: torch.randn(p.shape, generator=drawn) for name, p in part.named_parameters()}
    part.load_state_dict(values, assign=True)
    return part.requires_grad_(False)


@pytest.mark.interpret
@pytest.mark.parametrize("fields", FUSED, ids=str)
def test_it_gives_and_keeps_what_the_ops_one_by_one_do(fields: dict[str, Any]) -> None:
    part, found = built(fields), {}
    assert part.cache_need is not None
    for kind in ("reference", "triton"):
        cache = Cache(Layout.whole({"it": part.cache_need}, pages=5, page=16), dtype=torch.float32)
        given, found[kind] = torch.Generator().manual_seed(4), []
        with using(Kernels.of({"default": "reference", OP: kind})), torch.inference_mode():
            for new, past in STEPS:
                step = cache.step_in(new, past=past, tables=[[(4, 1), (2, 0, 3)]])
                found[kind].append(part(torch.randn(sum(new), 8, generator=given), step))
        found[kind] += cache.rows["it"]
    torch.testing.assert_close(found["triton"], found["reference"])


@pytest.mark.parametrize("fields", NOT_FUSED, ids=str)
def test_what_the_kernel_does_not_do_goes_op_by_op(fields: dict[str, Any]) -> None:
    assert not built(fields).fuses


def test_without_a_cache_or_with_gradients_all_goes_op_by_op() -> None:
    part = built(FUSED[0])
    assert part.fuses
    assert part.cache_need is not None
    cache = Cache(Layout.whole({"it": part.cache_need}, pages=1, page=16), dtype=torch.float32)
    with using(Kernels.of({OP: "triton"})):
        assert fused(part, torch.ones(2, 8), cache.step([2])) is None
        with torch.inference_mode():
            assert fused(part, torch.ones(2, 8), Step.of([2])) is None
