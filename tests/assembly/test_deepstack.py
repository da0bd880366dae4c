"""Rows of a tower's layers that are added after layers of the language model: to items alone, on every way through."""

# T tokens, D width

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.assembly.test_stages import built, stages
from tests.parity.oracle import Oracle, build_oracle, tiny_config
from triptych import Stage
from triptych.assembly import assemble
from triptych.errors import InputError, OptionError, SpecError
from triptych.parts.step import Step
from triptych.spec.catalog import load_named, sample_config

WIDTH, ADDED = 64, 2
IDS = torch.tensor([1, 5, 205, 205, 9])
IS_ITEM = torch.tensor([False, False, True, True, False])


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    config = tiny_config("Qwen3VLForConditionalGeneration")
    assert config is not None
    config["text_config"] |= {"num_hidden_layers": 5}
    config["vision_config"] |= {"deepstack_visual_indexes": [0, 1]}
    return build_oracle(config, tmp_path_factory.mktemp("deep"), seed=3)


def item() -> Tensor:
    return torch.randn(2, WIDTH * (1 + ADDED), generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def rows(modules: list[Any], given: Tensor) -> Any:
    """What the modules make of a prompt with rows of an item."""
    found: Any = None
    for module in modules:
        step = Step.of([len(IDS)])
        embeds = module.embed_input_ids(IDS, [given], is_multimodal=IS_ITEM) if found is None else None
        found = module(None, step.positions, step=step, intermediate_tensors=found, inputs_embeds=embeds)
    return found


def test_what_is_added_to_tokens_of_text_is_nought(oracle: Oracle) -> None:
    module, given = built(oracle.folder, Stage())[0], item()
    assert module.item_width == given.shape[1]
    found = module.embed_input_ids(IDS, [given], is_multimodal=IS_ITEM)
    assert torch.equal(found[IS_ITEM], given)
    assert torch.equal(found[~IS_ITEM, :WIDTH], module.embed_input_ids(IDS[~IS_ITEM]))
    assert not found[~IS_ITEM, WIDTH:].any()


def test_rows_are_added_after_the_first_layers_each_its_own(oracle: Oracle) -> None:
    module, given = built(oracle.folder, Stage())[0], item()
    module.set_aux_hidden_state_layers((0, 1, 2))
    bare = given.clone()
    bare[:, WIDTH:] = 0
    (_, with_rows), (_, without) = rows([module], given), rows([module], bare)
    assert torch.equal(with_rows[0], without[0])
    added = torch.zeros(len(IDS), WIDTH)
    added[IS_ITEM] = given[:, WIDTH : 2 * WIDTH]
    assert torch.equal(with_rows[1], without[1] + added)
    bare[:, WIDTH : 2 * WIDTH] = given[:, WIDTH : 2 * WIDTH]
    added[IS_ITEM] = given[:, 2 * WIDTH :]
    assert torch.equal(with_rows[2], rows([module], bare)[1][2] + added)


def test_rows_of_layers_asked_for_change_nothing(oracle: Oracle) -> None:
    module = built(oracle.folder, Stage())[0]
    wanted = rows([module], item())
    module.set_aux_hidden_state_layers((1, 4))
    assert torch.equal(rows([module], item())[0], wanted)


def test_stages_give_the_rows_of_the_whole_model_where_the_first_holds_all_that_is_added_after(oracle: Oracle) -> None:
    wanted = rows([built(oracle.folder, Stage())[0]], item())
    assert torch.equal(rows(stages(oracle.folder, 2), item()), wanted)
    message = "stage: items are added after the first 2 layers, which the first stage has to hold; of 4 stages it has 1"
    with pytest.raises(OptionError, match=message):
        built(oracle.folder, Stage(0, 4))


def test_rows_that_are_encoded_already_hold_what_is_added(oracle: Oracle) -> None:
    module = built(oracle.folder, Stage())[0]
    assert module.embed_multimodal(image_embeds=[item()])[0].shape == (2, WIDTH * 3)
    with pytest.raises(InputError, match=r"image_embeds\[0\].*64.*192"):
        module.embed_multimodal(image_embeds=[item()[:, :WIDTH]])


def test_a_projector_of_another_width_is_refused() -> None:
    config = sample_config(load_named("qwen3_vl")[1])
    message = "projectors.image: gives rows of 72; the language model takes 64, 1 more of them for its taps"
    with pytest.raises(SpecError, match=message):
        assemble("qwen3_vl", config, overrides=["programs.deep_merger.mlp.out=8"])
