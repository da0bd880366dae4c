"""Rows of chosen layers for a draft head: those of the reference, from every stage of a pipeline."""

# T tokens, D width

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import triptych
from tests.assembly.test_stages import IDS, built, stages
from tests.parity.oracle import Oracle, build_oracle, rms_ratio, tiny_config
from triptych.capabilities import IntermediateTensors, supports_eagle3
from triptych.errors import OptionError
from triptych.parts.step import Step

ARCHITECTURES = {
    "LlamaForCausalLM": {"num_hidden_layers": 5},
    "GPT2LMHeadModel": {"n_layer": 4},
    "LlavaForConditionalGeneration": {},
}


@pytest.fixture(scope="module", params=ARCHITECTURES)
def oracle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    config = tiny_config(request.param)
    assert config is not None
    return build_oracle({**config, **ARCHITECTURES[request.param]}, tmp_path_factory.mktemp("aux"), seed=3)


def wanted_rows(oracle: Oracle) -> list[Tensor]:
    """What goes into each layer of the reference, and last what comes out of the last one, before the norm."""
    inner = oracle.model.base_model
    inner = getattr(inner, "language_model", inner)
    layers, found = inner.layers if hasattr(inner, "layers") else inner.h, list[Tensor]()

    def keep(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        found.append(args[0] if args else kwargs["hidden_states"])
        if layer is layers[-1]:
            found.append(output[0] if isinstance(output, tuple) else output)

    hooks = [layer.register_forward_hook(keep, with_kwargs=True) for layer in layers]
    oracle.logits(IDS)
    for hook in hooks:
        hook.remove()
    return [rows.reshape(len(IDS), -1) for rows in found]


def forward(modules: list[Any]) -> Any:
    found = None
    for module in modules:
        step = Step.of([len(IDS)])
        ids_T = torch.tensor(IDS) if found is None else None
        found = module(ids_T, step.positions, step=step, intermediate_tensors=found)
    return found


@torch.inference_mode()
def test_rows_that_go_into_any_layer_are_the_references_also_over_stages(oracle: Oracle) -> None:
    wanted = wanted_rows(oracle)
    whole = built(oracle.folder, triptych.Stage())[0]
    assert supports_eagle3(whole)
    plain, count = forward([whole]), len(wanted) - 1
    for size in (1, 2, count):
        modules = stages(oracle.folder, size)
        for asked in ([*range(count + 1)], [count], [0, 2], [1]):
            for module in modules:
                module.set_aux_hidden_state_layers(reversed(asked))
            end, rows = forward(modules)
            assert torch.equal(end, plain)
            assert max(rms_ratio(found, wanted[layer]) for found, layer in zip(rows, asked, strict=True)) < 1e-5


@torch.inference_mode()
def test_a_model_that_hands_out_rows_of_layers_writes_what_it_wrote(oracle: Oracle) -> None:
    def written(layers: tuple[int, ...]) -> Any:
        model = triptych.load(str(oracle.folder))
        model.module.set_aux_hidden_state_layers(layers)
        return model.generate([IDS], max_tokens=4)

    assert written((1,)) == written(())


def test_a_layer_past_the_end_is_refused(oracle: Oracle) -> None:
    module = built(oracle.folder, triptych.Stage())[0]
    count = len(module.get_language_model().layers)
    with pytest.raises(OptionError, match=f"there is no layer {count + 1} to hand out rows of; {count}, the end, is"):
        module.set_aux_hidden_state_layers([0, count + 1])


@torch.inference_mode()
def test_nothing_is_handed_on_that_nobody_asked_for(oracle: Oracle) -> None:
    first = stages(oracle.folder, 2)[0]
    sent = forward([first])
    assert isinstance(sent, IntermediateTensors)
    assert [*sent.tensors] == ["hidden_states"]
