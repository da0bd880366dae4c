"""A model cut into the stages of a pipeline: each has its own layers and reads no more, and together they are it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import triptych
from tests.parity.oracle import Oracle, build_oracle, tiny_config
from triptych import IntermediateTensors, PPMissingLayer, Stage, StageMissingLayer
from triptych.assembly import assemble
from triptych.assembly.model_class import model_class
from triptych.capabilities import capability_report, supports_pp
from triptych.errors import InputError, OptionError, StageError
from triptych.parts.cache import Cache
from triptych.parts.cache_layout import Layout
from triptych.parts.step import Step
from triptych.settings import Settings
from triptych.spec.catalog import find_conversion, find_family, load_named, sample_config
from triptych.weights import Checkpoint, check, fill, fill_random, match, tables

CPU = torch.device("cpu")
IDS = [1, 5, 9, 5, 7, 3, 2]
# tied head, softcap and windows; learned positions; no head tied; towers; a pooler; a whole layer in one block
ARCHITECTURES = {
    "LlamaForCausalLM": {"num_hidden_layers": 5},
    "Gemma2ForCausalLM": {
        "num_hidden_layers": 3,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    },
    "GPT2LMHeadModel": {"n_layer": 4},
    "LlavaForConditionalGeneration": {},
    "BertForSequenceClassification": {"num_hidden_layers": 3},
    "LongcatFlashForCausalLM": {"num_layers": 3},
}


@pytest.fixture(scope="module", params=ARCHITECTURES)
def oracle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    config = tiny_config(request.param)
    assert config is not None
    return build_oracle({**config, **ARCHITECTURES[request.param]}, tmp_path_factory.mktemp("staged"), seed=3)


def built(folder: Path, stage: Stage) -> tuple[Any, int]:
    """One stage of a checkpoint's model, and how many bytes reading it took."""
    checkpoint, read = Checkpoint(folder), [0]
    found = assemble(None, checkpoint.config, stage=stage)
    matching = match(found.module, tables(found.plan.scopes), checkpoint.tensors)
    check(matching, checkpoint=str(folder))
    fill(found.module, matching, device=CPU, dtype=torch.float32, progress=lambda done, _: read.append(done))
    return found.module.eval(), read[-1]


def stages(folder: Path, size: int) -> list[Any]:
    return [built(folder, Stage(rank, size))[0] for rank in range(size)]


def layers_of(module: Any) -> list[Any]:
    return list(module.get_language_model().layers)


def counts(oracle: Oracle) -> range:
    """Into how many stages the model can be cut."""
    return range(2, len(layers_of(built(oracle.folder, Stage())[0])) + 1)


@torch.inference_mode()
def through(modules: Sequence[Any], ids: Sequence[int], steps: Sequence[Step]) -> Tensor:
    """The rows that the last stage gives."""
    found = None
    for module, step in zip(modules, steps, strict=True):
        ids_T = torch.tensor(ids) if found is None else None
        found = module(ids_T, step.positions, step=step, intermediate_tensors=found)
    assert isinstance(found, Tensor)
    return found


def test_stages_one_after_the_other_give_the_rows_of_the_whole_model_to_the_last_bit(oracle: Oracle) -> None:
    whole = built(oracle.folder, Stage())[0]
    wanted = through([whole], IDS, [Step.of([3, 4])])
    for size in counts(oracle):
        modules = stages(oracle.folder, size)
        found = through(modules, IDS, [Step.of([3, 4]) for _ in modules])
        assert torch.equal(found, wanted)
        if hasattr(whole, "compute_logits"):
            assert torch.equal(modules[-1].compute_logits(found), whole.compute_logits(wanted))
        else:
            assert torch.equal(modules[-1].pooler(found, Step.of([3, 4])), whole.pooler(wanted, Step.of([3, 4])))


def test_each_stage_remembers_for_its_own_layers_and_they_go_on_from_what_they_keep(oracle: Oracle) -> None:
    modules = [built(oracle.folder, Stage())[0], *stages(oracle.folder, 2)]
    whole, *halves = [module.cache_needs() for module in modules]
    assert {**halves[0], **halves[1]} == whole
    assert not halves[0].keys() & halves[1].keys()
    layers = [layer for layer in layers_of(modules[1]) if not isinstance(layer, PPMissingLayer)]
    keeping = {key.split(".")[1] for key in halves[0]}
    assert len(keeping) == (len(layers) if whole else 0), "what attends both ways keeps nothing"
    if not whole:
        return
    caches = [Cache(Layout.whole(each, pages=1, page=len(IDS)), dtype=torch.float32) for each in (whole, *halves)]
    for start, stop in ((0, 4), (4, len(IDS))):
        steps = [cache.step([stop - start]) for cache in caches]
        wanted = through(modules[:1], IDS[start:stop], steps[:1])
        assert torch.equal(through(modules[1:], IDS[start:stop], steps[1:]), wanted)


def test_a_stage_has_and_reads_its_own_weights_alone_and_together_they_have_all(oracle: Oracle) -> None:
    whole, _ = built(oracle.folder, Stage())
    wanted = {name: parameter.shape for name, parameter in whole.named_parameters()}
    for size in counts(oracle):
        found: dict[str, Any] = {}
        for rank in range(size):
            module, read = built(oracle.folder, Stage(rank, size))
            own = dict(module.named_parameters())
            assert 0 < read == sum(parameter.nbytes for parameter in own.values())
            twice = found.keys() & own.keys()
            assert all(name.endswith("embed.tokens.weight") for name in twice), "the head of the last one is tied to it"
            assert bool(twice) == (rank == size - 1 and getattr(whole, "head", None) is not None and whole.head.tied)
            found |= {name: parameter.shape for name, parameter in own.items()}
        assert found == wanted


@pytest.mark.parametrize("family", ["llama", "gemma2", "llava", "bert"])
def test_random_weights_of_a_stage_are_those_that_the_whole_model_has_there(family: str) -> None:
    config = sample_config(load_named(family)[1])

    def filled(stage: Stage) -> dict[str, Tensor]:
        module = assemble(family, config, stage=stage).module
        fill_random(module, seed=4, device=CPU, dtype=torch.float32)
        return dict(module.named_parameters())

    whole, cut = filled(Stage()), [filled(Stage(rank, 2)) for rank in range(2)]
    assert cut[0].keys() | cut[1].keys() == whole.keys()
    assert all(part.keys() < whole.keys() for part in cut)
    assert all(torch.equal(value, whole[name]) for part in cut for name, value in part.items())


def test_the_first_stage_embeds_and_the_last_has_norm_and_head(oracle: Oracle) -> None:
    first, middle_or_last = (module.get_language_model() for module in stages(oracle.folder, 2))
    assert not isinstance(first.embed, StageMissingLayer)
    assert isinstance(getattr(first, "norm", None), PPMissingLayer | None)
    if hasattr(first, "head"):
        assert isinstance(first.head, StageMissingLayer)
        assert not isinstance(middle_or_last.head, StageMissingLayer)
        with pytest.raises(StageError, match="the head is left out of this model"):
            first.compute_logits(torch.ones(1, first.width))
    with pytest.raises(StageError, match="ids are embedded on the first stage, and this is stage 1 of 2"):
        middle_or_last.embed_input_ids(torch.tensor(IDS))


def test_towers_stand_on_the_first_stage_alone() -> None:
    tree = load_named("llava")[1]
    first, second = (assemble("llava", sample_config(tree), stage=Stage(rank, 2)).module for rank in range(2))
    assert not first.left_out  # type: ignore[union-attr]
    why = "towers stand on the first stage, and this is stage 1 of 2"
    assert second.left_out == dict.fromkeys(["towers.image", "projectors.image"], why)  # type: ignore[union-attr]
    with pytest.raises(InputError, match=f"image: the image tower is left out of this model: {why}"):
        second.embed_multimodal(image=[torch.zeros(3, 56, 56)])  # type: ignore[operator]


def test_what_is_handed_on_has_the_rows_of_the_step(oracle: Oracle) -> None:
    module = stages(oracle.folder, 2)[0]
    step = Step.of([len(IDS)])
    found = module(torch.tensor(IDS), step.positions, step=step)
    empty = module.make_empty_intermediate_tensors(len(IDS), torch.bfloat16, CPU)
    assert isinstance(found, IntermediateTensors)
    assert {name: rows.shape for name, rows in found.items()} == {name: rows.shape for name, rows in empty.items()}
    assert all(rows.dtype == torch.bfloat16 and not rows.any() for _, rows in empty.items())


def test_a_stage_is_told_what_it_goes_on_from(oracle: Oracle) -> None:
    first, second = stages(oracle.folder, 2)
    step, ids = Step.of([1]), torch.tensor([5])
    with pytest.raises(StageError, match="stage 1 of 2 goes on from what the one before returns; give it as inter"):
        second(ids, step.positions, step=step)
    given = first.make_empty_intermediate_tensors(1, torch.float32, CPU)
    with pytest.raises(StageError, match="the first stage has none before it; give it ids or embeddings"):
        first(ids, step.positions, step=step, intermediate_tensors=given)
    with pytest.raises(StageError, match="the earlier stage sent no 'hidden_states'"):
        second(None, step.positions, step=step, intermediate_tensors=IntermediateTensors({}))


def test_more_stages_than_layers_are_refused() -> None:
    config = {**sample_config(load_named("llama")[1]), "num_hidden_layers": 3}
    with pytest.raises(OptionError, match=r"stage: llama has 3 layers, too few for 4 stages .*; 3 would do"):
        assemble("llama", config, stage=Stage(0, 4))
    assert assemble("llama", config, stage=Stage(2, 3)).module.cache_needs().keys() == {"layers.2.mix.attention"}
    with pytest.raises(OptionError, match="stage: clip_vision is a tower, which is not cut into stages"):
        assemble("clip_vision", sample_config(load_named("clip_vision")[1]), stage=Stage(0, 2))


def test_a_class_made_of_a_spec_is_built_for_its_stage_and_passes_over_what_others_have(oracle: Oracle) -> None:
    checkpoint = Checkpoint(oracle.folder)
    family = find_family(checkpoint.config)
    how = find_conversion(checkpoint.config, family)
    cls = model_class(load_named(family)[1], name=family, architecture="Cut", convert=how)
    assert supports_pp(cls)
    module: Any = cls(settings=Settings(config=checkpoint.config, stage=Stage(1, 2))).to_empty(device="cpu")
    names = module.load_weights((name, stored.read()) for name, stored in checkpoint.tensors.items())
    assert names == {name for name, _ in built(oracle.folder, Stage(1, 2))[0].named_parameters()}


@pytest.mark.parametrize("stage", [Stage(), Stage(0, 2), Stage(1, 2)], ids=str)
@pytest.mark.parametrize("family", ["llama", "gpt2", "llava", "bert"])
def test_every_stage_of_a_spec_is_verified_to_support_it(family: str, stage: Stage) -> None:
    module = assemble(family, sample_config(load_named(family)[1]), stage=stage).module
    report = capability_report(module)
    assert report["supports_pp"] == "verified"
    assert report.contradictions == report.unflagged == ()
    assert triptych.capability_report(family)["supports_pp"] == "declared"


def test_who_takes_more_than_rows_from_earlier_layers_supports_no_stages() -> None:
    config = sample_config(load_named("ouro")[1])
    cls = model_class(load_named("ouro")[1], name="ouro", architecture="Looped")
    for found in (cls, assemble("ouro", config).module, cls(settings=Settings(config=config))):
        assert not supports_pp(found)
        assert capability_report(found)["supports_pp"] == "absent"
    assert triptych.capability_report("ouro")["supports_pp"] == "absent"
