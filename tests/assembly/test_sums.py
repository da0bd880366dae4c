"""The sum of a branch that the next branch's norm takes on the way."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import triptych
from triptych.assembly.stack import Block
from triptych.parts.norms import RmsNorm
from triptych.tasks import Model

# of two branches, normed after, scaled, members that come last, a whole layer in one, norms of sums, branches that
# replace the rows
SPECS = ["llama", "gemma2", "granite", "arctic", "longcat_flash", "gemma4", "minimax_text_01", "solar", "olmo2"]


def taken(module: nn.Module) -> int:
    """How many sums norms take."""
    return sum(each is not None for block in module.modules() if isinstance(block, Block) for each in block._norming)


def model(spec: str, dtype: torch.dtype) -> Model:
    """With weights of norms that are not all the same."""
    found = triptych.random_init(spec, seed=1, dtype=dtype)
    drawn = torch.Generator().manual_seed(2)
    for parameter in found.module.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=drawn).to(dtype)
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("spec", SPECS)
def test_a_sum_that_a_norm_takes_changes_no_bit(spec: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = [[1, 2, 3], [*range(1, 20)]]
    found = [*map(model(spec, dtype).logits, prompts)]
    monkeypatch.delattr(RmsNorm, "of_sum")
    apart = model(spec, dtype)
    assert not taken(apart.module)
    assert all(torch.equal(a, apart.logits(ids)) for a, ids in zip(found, prompts, strict=True))


@pytest.mark.parametrize(("spec", "sums"), [("llama", 2), ("gemma2", 2), ("gpt2", 0), ("olmo2", 0), ("mamba", 0)])
def test_a_norm_takes_the_sum_before_it_in_a_block(spec: str, sums: int) -> None:
    assert taken(triptych.random_init(spec).module) == sums


@pytest.mark.parametrize("override", ["language_model.layers.residual_in_fp32=true", "blocks.layer.mix.sum_norm=norm"])
def test_a_sum_that_is_more_than_that_of_rows_is_taken_by_no_norm(override: str) -> None:
    assert not taken(triptych.random_init("llama", overrides=[override]).module)
