"""What an indexer may be said to be, and which of equal rows it chooses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from triptych.parts.indexer_spec import IndexedMlaSpec, IndexerSpec
from triptych.parts.norms_spec import LayerNormSpec
from triptych.parts.step import Step

NORM = LayerNormSpec(eps=1e-6)
LATENTS: dict[str, Any] = {"kv": 6, "q": 5, "norm": NORM}
SIZES: dict[str, Any] = {"heads": 2, "latents": LATENTS, "nope_dim": 4, "rope_dim": 2, "value_dim": 3}
INDEXER: dict[str, Any] = {"heads": 2, "head_dim": 4, "k": 2, "norm": NORM}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"latents": LATENTS | {"q": None}}, "an indexer's queries come of a latent"),
        ({"indexer": INDEXER | {"head_dim": 1}}, "2 channels turn, of 1 in a head of the indexer"),
    ],
)
def test_an_indexer_that_cannot_be_is_refused(said: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        IndexedMlaSpec(**{**SIZES, "indexer": IndexerSpec(**INDEXER), **said})


def test_of_equal_rows_the_first_are_chosen() -> None:
    part = IndexedMlaSpec(**SIZES, indexer=IndexerSpec(**INDEXER)).build(width=8, key="mix.mla").indexer
    for module in part.modules():
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(torch.zeros(parameter.shape)))
    (chosen,) = part(torch.zeros(4, 8), torch.zeros(4, 5), Step.of([4]))
    assert chosen.tolist() == [[0, 1]] * 4
