"""What layers forget is no more counted as memory that a request needs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import triptych
from triptych.capabilities.pipeline import IntermediateTensors
from triptych.errors import CapabilityError, OptionError
from triptych.parts.cache_layout import row_size
from triptych.parts.cache_needs import CacheNeed, Rows, State
from triptych.runner.request import RunOptions
from triptych.runner.staged import Staged

PROMPT = [n * n % 251 for n in range(330)]
ASKED = {"raw": True, "max_tokens": 40, "ignore_eos": True, "temperature": 1.0, "seed": 3}


@pytest.mark.parametrize(("spec", "rows"), [("mistral", 60), ("gemma2", 300)])
def test_a_long_request_fits_into_the_memory_for_what_is_seen(spec: str, rows: int) -> None:
    model = triptych.random_init(spec, seed=2)
    roomy = triptych.Engine(model, max_model_len=400)
    tight = triptych.Engine(model, max_model_len=400, kv_cache_memory=rows * row_bytes(model))
    wanted, found = (each.submit(PROMPT, **ASKED).result() for each in (roomy, tight))
    assert found.token_ids == wanted.token_ids
    plain = triptych.random_init("llama", seed=2)
    with pytest.raises(OptionError, match=f"a request of 400 tokens needs .*; max_model_len={rows} would fit"):
        triptych.Engine(plain, max_model_len=400, kv_cache_memory=rows * row_bytes(plain))


def row_bytes(model: triptych.Model) -> int:
    return 4 * row_size(model.module.cache_needs())


class Part(nn.Module):
    """Some layers of a model."""

    def __init__(self, needs: dict[str, CacheNeed]) -> None:
        super().__init__()
        self.weight, self.cache_needs = nn.Parameter(torch.ones(1)), lambda: needs

    def make_empty_intermediate_tensors(self, *_: object) -> IntermediateTensors:
        return IntermediateTensors({})


def test_stages_forget_nothing_so_that_all_have_the_same_pages_and_keep_no_states() -> None:
    pipe: Any = SimpleNamespace(least=lambda number: number)
    staged = Staged(Part({"a": Rows(1, (2,), window=4), "b": Rows(2, (3,), chunk=5)}), pipe)
    assert staged.cache_needs() == {"a": Rows(1, (2,)), "b": Rows(2, (3,))}
    run = RunOptions(device=torch.device("cpu"), dtype=torch.float32, cache_bytes=100)
    assert staged.agreed(run).cache_bytes == 96
    with pytest.raises(CapabilityError, match="layers keep states does not run in stages; in one process it does"):
        Staged(Part({"a": State(((2,),))}), pipe).agreed(run)
