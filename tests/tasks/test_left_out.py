"""A LLaVA without its tower or without its language model: what is not there takes no memory and is not read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

import triptych
from tests.parity.multimodal import Case, Pair, all_cases
from triptych import MultiModalSettings, StageMissingLayer
from triptych.assembly import assemble
from triptych.assembly.model_class import model_class
from triptych.capabilities import capability_report, component_map
from triptych.check.shape import check_shapes
from triptych.errors import CapabilityError, InputError, MissingMemberError, OptionError, StageError
from triptych.settings import AdapterSettings, Settings
from triptych.spec.catalog import load_named, sample_config
from triptych.weights import Checkpoint, Stored, adapter_components, component_report, mapper_of, match, tables

NO_IMAGES = MultiModalSettings(limits={"image": 0})
LANGUAGE_ONLY = MultiModalSettings(language_only=True)
ENCODER_ONLY = MultiModalSettings(encoder_only=True)
CHOSEN = {"clip + llama", "clip + granite, first layer, tied by the parent", "siglip + gemma2"}
CASES = [case for case in all_cases() if case.name in CHOSEN]


@dataclass(frozen=True)
class Loaded:
    """A model with the bytes that reading it took, by the names of their files' tensors, and what progress told."""

    model: Any
    read: int
    told: tuple[int, int]


@pytest.fixture(scope="module", params=CASES, ids=str)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    case: Case = request.param
    return Pair.of(case, tmp_path_factory.mktemp("llava"))


@contextmanager
def counted() -> Iterator[list[int]]:
    """The sizes of all that is read of stored tensors."""
    sizes: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        read_into = Stored.read_into

        def counting(self: Stored, target: Tensor, *, first: int = 0) -> None:
            sizes.append(target.nbytes)
            read_into(self, target, first=first)

        patch.setattr(Stored, "read_into", counting)
        yield sizes


def loaded(pair: Pair, settings: MultiModalSettings | None) -> Loaded:
    told = [(0, 0)]
    with counted() as sizes:
        model = triptych.load(
            pair.oracle.folder,
            dtype=torch.float32,
            multimodal=settings,
            progress=lambda *both: told.append(both),
        )
    return Loaded(model, sum(sizes), told[-1])


def nbytes(module: torch.nn.Module) -> int:
    return sum(parameter.nbytes for parameter in module.parameters())


@pytest.mark.parametrize("settings", [NO_IMAGES, LANGUAGE_ONLY], ids=["limit 0", "language only"])
def test_without_images_neither_tower_nor_projector_has_memory_or_is_read(
    pair: Pair, settings: MultiModalSettings
) -> None:
    whole, found = loaded(pair, None), loaded(pair, settings)
    module = found.model.module
    assert nbytes(module) == nbytes(whole.model.module.language_model)
    assert 0 < found.read == found.told[0] == found.told[1] == nbytes(module)
    assert whole.read == nbytes(whole.model.module) > found.read
    assert [module.towers["image"].stage_name, module.projectors["image"].stage_name] == [
        "image_tower",
        "image_projector",
    ]
    assert module.towers["image"].out_width == whole.model.module.towers["image"].out_width


def test_encoder_only_has_no_language_model_and_reads_none(pair: Pair) -> None:
    whole, found = loaded(pair, None), loaded(pair, ENCODER_ONLY)
    module = found.model.module
    assert isinstance(module.language_model, StageMissingLayer)
    assert nbytes(module) == nbytes(whole.model.module) - nbytes(whole.model.module.language_model)
    assert 0 < found.read == found.told[0] == found.told[1] == nbytes(module)


@pytest.mark.parametrize("settings", [NO_IMAGES, LANGUAGE_ONLY], ids=["limit 0", "language only"])
def test_text_alone_gives_the_logits_of_the_whole_model(pair: Pair, settings: MultiModalSettings) -> None:
    ids = [1, 5, 9, 5, 7]
    found = loaded(pair, settings).model
    assert torch.equal(found.logits(ids), pair.model.logits(ids))
    assert found.generate(ids, max_tokens=4) == pair.model.generate(ids, max_tokens=4)


def test_encoder_only_encodes_images_as_the_whole_model_does(pair: Pair) -> None:
    pixels = list(pair.ask(images=2).media["pixel_values"])
    found = loaded(pair, ENCODER_ONLY).model.module.embed_multimodal(image=pixels)
    wanted = pair.model.module.embed_multimodal(image=pixels)
    assert len(found) == 2
    assert all(map(torch.equal, found, wanted))


def test_encoder_only_refuses_to_write_by_the_name_of_the_setting(pair: Pair) -> None:
    model, ids = loaded(pair, ENCODER_ONLY).model, torch.tensor([5])
    asked = [
        lambda: model.generate([5, 6]),
        lambda: model.stream([5, 6]),
        lambda: model.logits([5, 6]),
        lambda: model.generate("<image>", images=pair.ask(images=1).images[0], raw=True),
    ]
    for ask in asked:
        with pytest.raises(CapabilityError, match=r"loaded without its language model.*: encoder_only is set"):
            ask()
    inner = [
        model.module.cache_needs,
        lambda: model.module.embed_input_ids(ids),
        lambda: model.module(ids, ids, step=None),
        lambda: model.module.compute_logits(torch.ones(1, model.module.width)),
    ]
    for ask in inner:
        with pytest.raises(CapabilityError, match="the language model is left out of this model: encoder_only is set"):
            ask()
    with pytest.raises(StageError, match="the language_model is left out of this model"):
        model.module.language_model(ids)


@pytest.mark.parametrize(
    ("settings", "asked", "by_module"),
    [
        (LANGUAGE_ONLY, "1, and at most 0 are taken with language_only", "language_only is set"),
        (NO_IMAGES, "1, and at most 0 are taken; raise limits.image", "limits.image is 0"),
    ],
    ids=["language only", "limit 0"],
)
def test_images_without_their_tower_are_refused_by_the_name_of_the_setting(
    pair: Pair, settings: MultiModalSettings, asked: str, by_module: str
) -> None:
    model, picture = loaded(pair, settings).model, pair.ask(images=1).images[0]
    with pytest.raises(InputError, match=f"image: the prompt has {asked}"):
        model.generate("<image> w5", images=picture, raw=True)
    with pytest.raises(InputError, match=f"image: the prompt has {asked}"):
        model.logits([pair.placeholder, 5], images=picture)
    with pytest.raises(InputError, match=f"image: the image tower is left out of this model: {by_module}"):
        model.module.embed_multimodal(image=[torch.zeros(3, 56, 56)])
    with pytest.raises(InputError, match="no tower for 'sound'"):
        model.module.embed_multimodal(sound=[torch.zeros(3)])


def test_a_limit_of_another_number_or_modality_leaves_the_tower_in(pair: Pair) -> None:
    found = loaded(pair, MultiModalSettings(limits={"image": 1, "video": 0})).model
    assert not found.module.left_out
    with pytest.raises(InputError, match=r"the prompt has 2, and at most 1 are taken; raise limits\.image to 2"):
        found.generate("<image> <image>", images=list(pair.ask(images=2).images), raw=True)


@pytest.mark.parametrize("settings", [MultiModalSettings(), LANGUAGE_ONLY, ENCODER_ONLY], ids=["all", "text", "items"])
def test_tensors_of_what_is_left_out_are_not_needed_and_nothing_else_is_passed_over(
    pair: Pair, settings: MultiModalSettings
) -> None:
    checkpoint = Checkpoint(pair.oracle.folder)
    whole, built = (assemble(None, checkpoint.config, multimodal=media) for media in (None, settings))
    choices, there = tables(built.plan.scopes), {name for name, _ in built.module.named_parameters()}
    all_of_it, found = (match(model.module, choices, checkpoint.tensors) for model in (whole, built))
    absent = {s.name for path, shards in all_of_it.shards.items() if path not in there for s in shards}
    assert found.findings == ()
    assert {*found.unneeded, *found.dropped} == {*all_of_it.unneeded, *all_of_it.dropped, *absent}
    mapper = mapper_of(found.table, built.module)
    assert {name for name in checkpoint.tensors if mapper.map_name(name) is None} >= absent
    kept = {s.name for path in there for s in found.shards[path]}
    strange = {name.rpartition(".")[0] + ".strange" for name in kept}
    tensors = {**checkpoint.tensors, **dict.fromkeys(strange, next(iter(checkpoint.tensors.values())))}
    assert {f.path for f in match(built.module, choices, tensors).findings} == strange


def test_a_class_made_of_a_spec_is_built_by_its_settings_and_loads_the_rest(pair: Pair) -> None:
    name, tree = load_named("llava")
    settings = Settings(config=pair.oracle.config, multimodal=LANGUAGE_ONLY)
    module: Any = model_class(tree, name=name, architecture="Llava")(settings=settings)
    assert module.left_out == dict.fromkeys(["towers.image", "projectors.image"], "language_only is set")
    module.to_empty(device="cpu")
    read = ((name, stored.read()) for name, stored in Checkpoint(pair.oracle.folder).tensors.items())
    names = module.load_weights(read)
    assert names == {name for name, _ in module.named_parameters()}
    assert all(name.startswith("language_model.") for name in names)


def sample(**media: Any) -> Any:
    tree = load_named("llava")[1]
    return assemble(tree, sample_config(tree), multimodal=MultiModalSettings(**media))


def test_nothing_left_is_refused() -> None:
    with pytest.raises(
        OptionError, match=r"multimodal: nothing is left of spec: encoder_only is set and limits\.image"
    ):
        sample(encoder_only=True, limits={"image": 0})
    tree = load_named("llama")[1]
    with pytest.raises(OptionError, match="nothing is left of llama: encoder_only is set"):
        assemble("llama", sample_config(tree), multimodal=ENCODER_ONLY)
    assert assemble("llama", sample_config(tree), multimodal=LANGUAGE_ONLY).module.vocab_size > 0


def test_a_tower_by_itself_is_built_whatever_the_settings() -> None:
    tree = load_named("clip_vision")[1]
    built = assemble("clip_vision", sample_config(tree), multimodal=LANGUAGE_ONLY)
    assert list(built.module.parameters())


def test_marks_follow_kind_and_modality() -> None:
    for media in ({}, {"language_only": True}, {"encoder_only": True}):
        module = sample(**media).module
        found = component_map(module)
        assert (found.language_model, found.towers, found.projectors) == (
            "language_model",
            ("towers.image",),
            ("projectors.image",),
        )
        assert component_report(module) == []
        assert capability_report(module).contradictions == capability_report(module).unflagged == ()


def test_adapters_may_stand_in_what_is_there() -> None:
    settings = {
        name: Settings(config={}, multimodal=media, adapters=AdapterSettings(tower_connector=True))
        for name, media in {"all": MultiModalSettings(), "encoder": ENCODER_ONLY, "text": NO_IMAGES}.items()
    }
    assert adapter_components(sample().module, settings["all"]) == (
        "language_model",
        "projectors.image",
        "towers.image",
    )
    assert adapter_components(sample(encoder_only=True).module, settings["encoder"]) == (
        "projectors.image",
        "towers.image",
    )
    assert adapter_components(sample(limits={"image": 0}).module, settings["text"]) == ("language_model",)


@pytest.mark.parametrize("strategy", ["default", "full"])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_rows_of_adapters_are_those_that_tower_and_projector_see(strategy: str, count: int) -> None:
    tree = load_named("llava")[1]
    built: Any = assemble(tree, {**sample_config(tree), "vision_feature_select_strategy": strategy})
    module, seen = built.module, list[int]()
    items = [torch.empty(3, 56, 56, device="meta") for _ in range(count)]
    module.towers["image"].layers[0].register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    module.projectors["image"].register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    embeds = sum(map(len, module.embed_multimodal(image=items))) if items else 0
    found = module.get_mm_lora_token_counts(modality="image", mm_kwargs={"image": items}, num_mm_embeds=embeds)
    assert found == (tuple(seen) if items else (0, 0))
    one = module.get_mm_lora_token_counts(modality="image", mm_kwargs={}, num_mm_embeds=16)
    assert one == (17 if strategy == "default" else 16, 16)


def test_rows_of_adapters_are_refused_where_the_formula_does_not_tell_them() -> None:
    tree = load_named("llava")[1]
    changed: Any = assemble(tree, sample_config(tree), overrides=["tokens.image.count==rows // 2"])
    with pytest.raises(
        MissingMemberError, match=r"tokens\.image: how many rows give 8 of image is not told by the spec"
    ):
        changed.module.get_mm_lora_token_counts(modality="image", mm_kwargs={}, num_mm_embeds=8)


def test_the_shapes_of_a_whole_model_still_agree() -> None:
    assert "tokens for one image" in " ".join(check_shapes(sample()))
