"""One suite for every multimodal model, however it came about: as YAML, or as a class that is written by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import triptych
from tests.interface.hand_llava import HandLlava
from tests.parity.multimodal import Asked, Case, Pair, llava_case
from tests.parity.oracle import rms_ratio
from triptych import (
    BatchLimits,
    CapabilityError,
    InputError,
    MultiModalSettings,
    OptionError,
    capability_report,
    component_map,
    get_budget,
    get_dummy_inputs,
    get_max_tokens_per_item,
    is_language_model,
    is_text_generation_model,
    is_triptych_model,
    supports_multimodal,
)
from triptych.weights import Stored

ROWS = 16  # of an image
CASE: Case = llava_case(
    "interface",
    {
        "model_type": "clip_vision_model",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": 56,
        "patch_size": 14,
        "projection_dim": 32,
    },
    "LlamaForCausalLM",
    {"vision_feature_layer": -1, "vision_feature_select_strategy": "default"},
    {},
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair.of(CASE, tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="module", params=["yaml", "by hand"])
def folder(request: pytest.FixtureRequest, pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same checkpoint, of an architecture that a spec serves, or the class that is written by hand."""
    from triptych.registry import models

    if request.param == "yaml":
        yield pair.oracle.folder
        return
    found = tmp_path_factory.mktemp("by_hand")
    for file in pair.oracle.folder.iterdir():
        (found / file.name).write_bytes(file.read_bytes())
    config = json.loads((found / "config.json").read_text())
    (found / "config.json").write_text(json.dumps(config | {"architectures": ["HandLlava"]}))
    triptych.register_model("HandLlava", HandLlava)
    yield found
    models._registered.pop("HandLlava")


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return triptych.load(folder, dtype="float32")


def pixels(asked: Asked) -> torch.Tensor:
    return asked.media["pixel_values"]


def encoded(model: Any, asked: Asked) -> list[torch.Tensor]:
    """Rows of the images of a prompt, by the model's own names of its inputs."""
    items = (
        model.processor("", {"image": []})
        if not asked.images
        else model.processor(list(model.processor.encode(asked.text)), {"image": list(asked.images)})
    )
    return list(model.module.embed_multimodal(**items.mm_kwargs.get_data()))


def test_it_is_a_multimodal_model_of_which_every_flag_is_verified(model: Any) -> None:
    assert is_triptych_model(model.module)
    assert is_text_generation_model(model.module)
    assert supports_multimodal(model.module)
    report = capability_report(model.module)
    assert report["supports_multimodal"] == report["supports_multimodal_embeddings"] == "verified"
    assert report.contradictions == ()


def test_its_placeholder_is_that_of_the_modality_and_none_of_another(model: Any) -> None:
    assert [model.module.get_placeholder_str(modality, 1) for modality in ("image", "audio")] == ["<image>", None]


def test_its_language_model_embeds_and_runs(model: Any) -> None:
    found = model.module.get_language_model()
    assert is_language_model(found)
    assert found is model.module.language_model


def test_its_components_are_mapped_by_prefix(model: Any) -> None:
    components = component_map(model.module)
    kinds = {components.find(name) for name, _ in model.module.named_parameters()}
    assert kinds == {"language_model", "projector", "tower"}


def test_embed_multimodal_gives_a_2d_tensor_for_each_item_in_order(model: Any, pair: Pair) -> None:
    asked = pair.ask(images=3)
    found = encoded(model, asked)
    assert [tuple(rows.shape) for rows in found] == [(ROWS, model.module.get_language_model().width)] * 3
    with torch.no_grad():
        wanted = pair.oracle.model.get_image_features(pixels(asked)).pooler_output
    for rows, reference in zip(found, wanted, strict=True):
        assert rms_ratio(rows, reference) < 1e-5


def test_embed_input_ids_puts_rows_where_the_mask_is_true(model: Any, pair: Pair) -> None:
    asked = pair.ask(images=2)
    ids = torch.tensor(asked.ids)
    mask, rows = ids == pair.placeholder, encoded(model, asked)
    found = model.module.embed_input_ids(ids, rows, is_multimodal=mask)
    assert torch.equal(found[mask], torch.cat(rows))
    assert torch.equal(found[~mask], model.module.get_language_model().embed_input_ids(ids)[~mask])


@pytest.mark.parametrize("rows", [None, []])
def test_without_embeddings_or_with_an_empty_list_the_text_embedding_is_returned(model: Any, rows: Any) -> None:
    ids = torch.tensor([3, 4, 5])
    wanted = model.module.get_language_model().embed_input_ids(ids)
    assert torch.equal(model.module.embed_input_ids(ids, rows), wanted)


def test_embeddings_given_without_the_mask_fail(model: Any) -> None:
    width = model.module.get_language_model().width
    with pytest.raises(ValueError, match="without the mask of their places"):
        model.module.embed_input_ids(torch.tensor([3, 4]), [torch.zeros(1, width)])


@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_rows_than_true_places_fails(model: Any, count: int) -> None:
    rows = [torch.zeros(count, model.module.get_language_model().width)]
    with pytest.raises(InputError, match=rf"{count} rows of items \({count}\) for 2 placeholders"):
        model.module.embed_input_ids(torch.tensor([3, 4, 5]), rows, is_multimodal=torch.tensor([True, False, True]))


def test_rows_of_another_width_or_of_no_floats_fail(model: Any) -> None:
    width, mask = model.module.get_language_model().width, torch.tensor([True, False])
    for rows in (torch.zeros(1, width + 1), torch.zeros(1, width, dtype=torch.int64)):
        with pytest.raises(InputError, match=r"multimodal_embeddings\[0\]"):
            model.module.embed_input_ids(torch.tensor([3, 4]), [rows], is_multimodal=mask)


@pytest.mark.parametrize(
    "mask", [torch.tensor([True]), torch.tensor([1, 0]), torch.tensor([[True, False]]), [True, False]]
)
def test_a_mask_that_does_not_fit_fails_before_anything_is_embedded(model: Any, mask: Any) -> None:
    rows = [torch.zeros(1, model.module.get_language_model().width)]
    message = r"^the mask of items is .*; \(2,\) of bool is wanted$|^is_multimodal: a tensor is wanted"
    with pytest.raises(InputError, match=message):
        model.module.embed_input_ids(torch.tensor([3, 4]), rows, is_multimodal=mask)


def test_placeholders_past_the_vocabulary_need_no_word_of_the_class_where_rows_stand_in_their_places(
    folder: Path, model: Any, pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HandLlava, "configure_mm_token_handling", lambda *_: None)
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"image_token_index": 5000}))
    images = list(pair.ask(images=1).images)
    found = triptych.load(tmp_path, dtype="float32").logits([5, 5000, 6], images=images)
    assert torch.equal(found, model.logits([5, pair.placeholder, 6], images=images))


@pytest.mark.parametrize("images", [0, 1, 2])
def test_a_prompt_through_its_processor_gives_the_logits_of_the_reference(model: Any, pair: Pair, images: int) -> None:
    asked = pair.ask(images=images)
    found = model.processor(asked.text, {"image": list(asked.images)})
    assert found.prompt_token_ids == asked.ids
    assert [place.length for place in found.mm_placeholders.get("image", ())] == [ROWS] * images
    ids = [int(w[1:]) if w != "<image>" else pair.placeholder for w in asked.text.split()]
    assert rms_ratio(model.logits([1, *ids], images=list(asked.images)), pair.wanted(asked)) < 1e-5


def test_it_writes_what_the_reference_writes(model: Any, pair: Pair) -> None:
    prompts = [pair.ask(images=n, seed=n) for n in (1, 0, 2)]
    given = [list(asked.images) for asked in prompts]
    found = model.generate([a.text for a in prompts], images=given, raw=True, max_tokens=6, ignore_eos=True)
    for asked, answer in zip(prompts, found, strict=True):
        options: dict[str, Any] = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
        wanted = pair.oracle.model.generate(torch.tensor([asked.ids]), **asked.media, **options)
        assert list(answer.token_ids) == wanted[0, len(asked.ids) :].tolist()


def test_an_item_alone_is_as_in_a_batch(model: Any, pair: Pair) -> None:
    asked = pair.ask(images=3)
    together = encoded(model, asked)
    for image, rows in zip(asked.images, together, strict=True):
        (alone,) = model.processor([pair.placeholder], {"image": [image]}).mm_kwargs["image"]
        (found,) = model.module.embed_multimodal(**{key: value[None] for key, value in alone.get_data().items()})
        assert rms_ratio(found, rows) < 1e-6


def test_dummy_inputs_reach_the_largest_token_count_which_the_budget_counts_by(model: Any) -> None:
    assert get_max_tokens_per_item(model.processor, 64, {"image": 1}) == {"image": ROWS}
    dummy = get_dummy_inputs(model.processor, 64, {"image": 2})
    assert len(dummy.prompt_token_ids) == 64
    assert [place.get_num_embeds() for place in dummy.mm_placeholders["image"]] == [ROWS, ROWS]
    rows = model.module.embed_multimodal(**dummy.mm_kwargs.get_data())
    assert [len(found) for found in rows] == [ROWS, ROWS]
    budget = get_budget(model.processor, BatchLimits(max_model_len=64, max_num_batched_tokens=40, max_num_seqs=3))
    assert (budget.compute, budget.items_per_prompt, budget.items_per_batch) == (40, {"image": 4}, {"image": 2})


def test_a_dummy_item_that_no_step_holds_is_refused_where_items_are_not_spread(model: Any) -> None:
    limits = BatchLimits(max_model_len=64, max_num_batched_tokens=ROWS - 1, max_num_seqs=3, chunked=False)
    with pytest.raises(OptionError, match=f"one item takes {ROWS} tokens, and a step holds {ROWS - 1}"):
        get_budget(model.processor, limits)


def test_more_items_than_the_settings_let_in_are_refused(folder: Path, pair: Pair) -> None:
    one = triptych.load(folder, multimodal=MultiModalSettings(limits={"image": 1}))
    asked = pair.ask(images=2)
    with pytest.raises(InputError, match=r"the prompt has 2, and at most 1 are taken; raise limits\.image to 2"):
        one.generate(asked.text, images=list(asked.images), raw=True)


def test_embeds_that_a_user_brings_take_the_place_of_the_tower(folder: Path, model: Any, pair: Pair) -> None:
    settings = MultiModalSettings(embeds=True, limits={"image": 0})
    lean = triptych.load(folder, dtype="float32", multimodal=settings)
    asked = pair.ask(images=2)
    ids, rows = lean.processor.encode(asked.text), encoded(model, asked)
    assert torch.equal(lean.logits(ids, images=rows), model.logits(ids, images=list(asked.images)))
    narrow = [r[:, 1:] for r in rows]
    with pytest.raises(InputError, match=r"image\[0\]: expected shape \(n, 64\), found \(16, 63\): the rows of"):
        lean.logits(ids, images=narrow)


def test_embeds_are_refused_unless_the_settings_let_them_in(model: Any, pair: Pair) -> None:
    asked = pair.ask(images=1)
    with pytest.raises(InputError, match="which the settings do not let in"):
        model.logits(model.processor.encode(asked.text), images=encoded(model, asked))


def test_with_a_limit_of_0_the_tower_is_unbuilt_and_unread_and_text_is_answered_as_before(
    folder: Path, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    read_into = Stored.read_into

    def counted(self: Stored, target: torch.Tensor, **where: Any) -> None:
        read.append(target.nbytes)
        read_into(self, target, **where)

    monkeypatch.setattr(Stored, "read_into", counted)
    lean = triptych.load(folder, dtype="float32", multimodal=MultiModalSettings(limits={"image": 0}))
    counts = [sum(p.nbytes for p in found.module.parameters()) for found in (lean, model)]
    assert counts[0] == sum(p.nbytes for p in model.module.get_language_model().parameters()) < counts[1]
    assert sum(read) == counts[0]
    assert torch.equal(lean.logits([1, 7, 9]), model.logits([1, 7, 9]))


def test_encoder_only_leaves_the_language_model_out(folder: Path, model: Any, pair: Pair) -> None:
    lean = triptych.load(folder, dtype="float32", multimodal=MultiModalSettings(encoder_only=True))
    asked = pair.ask(images=2)
    for found, wanted in zip(encoded(lean, asked), encoded(model, asked), strict=True):
        assert torch.equal(found, wanted)
    with pytest.raises(CapabilityError, match=r"loaded without its language model.*: encoder_only is set"):
        lean.generate("w5", raw=True)
