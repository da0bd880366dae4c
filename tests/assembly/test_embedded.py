"""Ids and rows of items by one kernel, in Triton's interpreter, as by a look-up and a merge."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.assembly.test_assemble import assembled
from triptych.assembly import LanguageModel
from triptych.assembly.embedded import embed_and_merge
from triptych.errors import InputError, KernelError
from triptych.kernels.choice import Kernels, using
from triptych.weights import fill_random

KERNEL = Kernels.of({"default": "reference", "merge": "triton"})
IS_ITEM = torch.tensor([False, True, True, True, False, True])
IDS = torch.tensor([3, 10**6, 10**6, 10**6, 1, 10**6])  # of items past the vocabulary


@pytest.fixture(scope="module", params=["llama", "gemma"])
def model(request: pytest.FixtureRequest) -> LanguageModel:
    module = assembled(spec=request.param).module
    assert isinstance(module, LanguageModel)
    fill_random(module, seed=0, device=torch.device("cpu"), dtype=torch.float32)
    return module


def rows(model: LanguageModel) -> list[Tensor]:
    return [torch.randn(n, model.width, generator=torch.Generator().manual_seed(n)) for n in (1, 3)]


@pytest.mark.interpret
@torch.inference_mode()
def test_the_kernel_gives_what_look_up_and_merge_give(model: LanguageModel) -> None:
    given = {"multimodal_embeddings": rows(model), "is_multimodal": IS_ITEM}
    wanted = model.embed_input_ids(IDS, **given)
    with using(KERNEL):
        assert embed_and_merge(model.embed, IDS, rows(model), IS_ITEM) is not None
        assert model.embed_input_ids(IDS, **given).equal(wanted)
        with pytest.raises(InputError, match=r"1 rows of items \(1\) for 4 placeholders"):
            model.embed_input_ids(IDS, rows(model)[:1], is_multimodal=IS_ITEM)


def test_the_kernel_is_asked_for_where_no_gradients_are_taken(model: LanguageModel) -> None:
    with using(KERNEL):
        assert embed_and_merge(model.embed, IDS, rows(model), IS_ITEM) is None
        with torch.inference_mode(), pytest.raises(KernelError, match="merge: kernels are `triton`, but"):
            model.embed_input_ids(IDS, rows(model), is_multimodal=IS_ITEM)
