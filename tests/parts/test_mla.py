"""Latent attention out of a cache: the matrix of the latents on the other side of the product is the same."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from triptych.parts.cache import Cache
from triptych.parts.cache_layout import Layout
from triptych.parts.mla import Mla
from triptych.parts.mla_spec import LatentsSpec, MlaSpec
from triptych.parts.norms_spec import RmsNormSpec
from triptych.parts.rope_spec import RopeSpec
from triptych.parts.step import Step


def built(*, scales: bool) -> Mla:
    factors = {"q_scale": 1.5, "kv_scale": 0.6} if scales else {}
    latents = LatentsSpec.model_validate({"kv": 12, "q": 10, "norm": RmsNormSpec(eps=0.01), **factors})
    sizes = {"heads": 4, "nope_dim": 8, "rope_dim": 4, "value_dim": 6}
    spec = MlaSpec.model_construct(**sizes, latents=latents, position=RopeSpec(theta=100.0))
    part = Mla(spec, width=16, key="it")
    drawn = torch.Generator().manual_seed(5)
    values = {name: torch.randn(p.shape, generator=drawn) for name, p in part.named_parameters()}
    part.load_state_dict(values, assign=True)
    return part.requires_grad_(False)


def rows(count: int) -> Tensor:
    return torch.randn(count, 16, generator=torch.Generator().manual_seed(6))


@pytest.mark.parametrize("scales", [False, True])
def test_a_prompt_read_beside_sequences_that_go_on_is_read_as_alone(scales: bool) -> None:
    part, first, second = built(scales=scales), rows(9), rows(5)
    cache = Cache(Layout.whole({"it": part.cache_need}, pages=2, page=16), dtype=torch.float32)
    begun = part(first[:6], cache.step([6], pages=[0]))
    both = part(torch.cat((first[6:], second)), cache.step([3, 5], pages=[0, 1]))
    torch.testing.assert_close(torch.cat((begun, both[:3])), part(first, Step.of([9])))
    torch.testing.assert_close(both[3:], part(second, Step.of([5])))


def test_a_cache_keeps_one_latent_and_one_key_a_token() -> None:
    assert built(scales=False).cache_need.width == 12 + 4


def test_scales_are_factors_on_queries_and_on_latents() -> None:
    plain, scaled = built(scales=False), built(scales=True)
    plain.q_b.weight *= 1.5
    plain.kv_b.weight *= 0.6
    torch.testing.assert_close(scaled(rows(7), Step.of([7])), plain(rows(7), Step.of([7])))
