"""What limits leave, as plain torch has it and as transformers has it."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    MinPLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from triptych.kernels.sample import Limits
from triptych.kernels.sample.limited import kept
from triptych.runner.options import SamplingOptions
from triptych.runner.sampling_plan import Table

SEEDS = st.integers(0, 2**31)
VOCABS = st.sampled_from([1, 2, 7, 127, 128, 129, 300, 900, 9000])
relaxed = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def warm(draw: st.DrawFn) -> dict[str, Any]:
    """Options of a request that is drawn for from some of the tokens."""
    found = {
        "temperature": draw(st.floats(0.05, 5)),
        "top_k": draw(st.sampled_from([0, 0, 2, 5, 127, 128, 129, 768, 10**6])),
        "top_p": draw(st.one_of(st.just(1.0), st.floats(1e-6, 0.9999))),
        "min_p": draw(st.one_of(st.just(0.0), st.floats(1e-6, 1))),
    }
    assume(SamplingOptions(**found).limited)
    return found


def random_logits(seed: int, *shape: int, spread: float = 2.0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * spread


def limits_of(asked: list[dict[str, Any]], vocab: int) -> Limits:
    """As a sampler has them."""
    table = Table(len(asked), vocab_size=vocab, device=torch.device("cpu"))
    options = [SamplingOptions.of(**each) for each in asked]
    for slot, each in enumerate(options):
        table.put(slot, each)
    found = table.plan(range(len(asked)), options, [frozenset()] * len(asked)).asked.limits
    assert found is not None
    return found


def filtered(logits_BV: Tensor, limits: Limits) -> Tensor:
    """Logits [B, V] with -inf for the tokens that are left out, or weigh nothing, at a temperature of 1."""
    found_BV = torch.full_like(logits_BV, -torch.inf)
    for rows_R, weights_RK, places_RK in kept(logits_BV, logits_BV.amax(-1), torch.ones(len(logits_BV)), limits):
        logits_RV = logits_BV[rows_R]
        stay_RK = logits_RV.gather(1, places_RK).masked_fill(weights_RK == 0, -torch.inf)
        found_BV[rows_R] = torch.full_like(logits_RV, -torch.inf).scatter(1, places_RK, stay_RK)
    return found_BV


def processed(logits_V: Tensor, *processors: LogitsProcessor, ids: tuple[int, ...] = (0,)) -> Tensor:
    found: Tensor = LogitsProcessorList(processors)(torch.tensor([ids]), logits_V[None].clone())
    return found[0]


def warped(logits_V: Tensor, *, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0, **_: Any) -> Tensor:
    """As transformers limits logits, in its order."""
    made: list[LogitsProcessor] = [TopKLogitsWarper(top_k)] if top_k else []
    made += [TopPLogitsWarper(top_p)] if top_p < 1 else []
    made += [MinPLogitsWarper(min_p)] if min_p else []
    return processed(logits_V, *made)


def is_on_the_edge(logits_V: Tensor, *, top_k: int, top_p: float, min_p: float, **_: Any) -> bool:
    """Whether rounding decides on a token: a share of the first, or a running sum, lies on the limit."""
    limited = warped(logits_V, top_k=top_k)
    chances = limited.double().softmax(-1).sort(descending=True)[0]
    by_share = (chances.cumsum(-1) - top_p).abs().min() < 1e-4
    by_min = ((chances / chances[0]) / max(min_p, 1e-30) - 1).abs().min() < 1e-4
    return bool((top_p < 1 and by_share) or (min_p and by_min))
