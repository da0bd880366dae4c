"""Families of images and videos of any size equal their reference, on weights that hide nothing."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

import triptych
from tests.parity.grids import GIVEN, Asked, Pair, all_cases
from tests.parity.multimodal import write_config
from tests.parity.oracle import MATTERS, TOLERANCE, rms_ratio
from tests.parity.test_multimodal_files import stored
from triptych.capabilities import supports_mrope
from triptych.errors import InputError
from triptych.inputs.placeholders import PlaceholderRange
from triptych.parts.step import Step
from triptych.runner.generate import generate
from triptych.runner.options import SamplingOptions
from triptych.runner.reading import read_prompts
from triptych.runner.request import Request, RunOptions
from triptych.spec.item_facts import ImageFacts
from triptych.weights import match, tables

CASES = {case.name: case for case in all_cases()}
FAMILIES = [name for name in CASES if "," not in name]
MIXED = ((6, 4), (2, 8), (3, 4, 6))  # two images and a video


@pytest.fixture(scope="module", params=list(CASES.values()), ids=str)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("checkpoint")
    yield Pair.of(request.param, folder)
    shutil.rmtree(folder)


def run_options(**given: Any) -> RunOptions:
    return RunOptions(device=torch.device("cpu"), dtype=torch.float32, **given)


@torch.inference_mode()
def logits(model: Any, asked: Sequence[Asked]) -> list[Tensor]:
    """Logits [T, V] of each prompt, all of them read in one call."""
    lengths = [len(each.prompt.token_ids) for each in asked]
    hidden = read_prompts(model.module, [each.prompt for each in asked], Step.of(lengths), run=run_options())
    return list(torch.split(model.module.compute_logits(hidden), lengths))


def test_every_tensor_matters_to_the_reference(pair: Pair) -> None:
    asked = pair.ask(*MIXED)
    assert not [*pair.oracle.inert_tensors(asked.prompt.token_ids, below=MATTERS, **asked.media)]


def test_a_packed_batch_of_mixed_sizes_and_each_prompt_alone_are_the_references(pair: Pair) -> None:
    batch = [
        pair.ask(*MIXED),
        pair.ask(seed=1, words=7),
        pair.ask((8, 2), seed=2),
        pair.ask((2, 10, 4), (6, 6), seed=3),
    ]
    for asked, together in zip(batch, logits(pair.model, batch), strict=True):
        wanted = pair.wanted(asked)
        assert rms_ratio(together, wanted) <= TOLERANCE
        assert rms_ratio(logits(pair.model, [asked])[0], wanted) <= TOLERANCE


def test_rows_of_items_are_those_of_the_reference_alone_and_together(pair: Pair) -> None:
    asked = pair.ask(*MIXED)
    inner = pair.oracle.model.model
    with torch.inference_mode():
        images = _rows(inner.get_image_features(asked.media["pixel_values"], asked.media["image_grid_thw"]))
        video = inner.get_video_features(asked.media["pixel_values_videos"], asked.media["video_grid_thw"])
        wanted = [*images, *_rows(video)]
        data = [item.data.get_data() for item in asked.prompt.features if item.data]
        alone = [pair.model.module.embed_multimodal(**{k: [v] for k, v in each.items()})[0] for each in data]
        grids = [each["image_grid"] for each in data[:2]]
        both = pair.model.module.embed_multimodal(image=[each["image"] for each in data[:2]], image_grid=grids)
    for found, theirs in zip([*alone, *both], [*wanted, *images], strict=True):
        assert rms_ratio(found, theirs) <= TOLERANCE


def _rows(found: Any) -> list[Tensor]:
    """The reference's rows of each item, those that it adds after layers beside them."""
    deep = getattr(found, "deepstack_features", None) or ()
    return [torch.cat(rows, -1) for rows in zip(found.pooler_output, *deep, strict=True)]


def test_pieces_of_a_prompt_decoding_and_reused_rows_give_the_references_tokens(pair: Pair) -> None:
    # Text after a video passes its last moment, else the reference's own loop and its delta tell two positions.
    asked = [pair.ask(*reversed(MIXED), seed=seed) for seed in (4, 4, 5)]
    wanted = [pair.oracle.generate(each.prompt.token_ids, 8, **each.media) for each in asked]
    requests = [
        Request(each.prompt, SamplingOptions.of(temperature=0, max_tokens=8, ignore_eos=True)) for each in asked
    ]
    for run in (run_options(), run_options(max_num_batched_tokens=7, max_batch=2)):
        found: dict[int, list[int]] = {}
        for event in generate(pair.model.module, requests, run=run):
            found.setdefault(event.request, []).append(event.token_id)
        assert [found[number] for number in range(3)] == wanted


def test_pictures_go_through_the_checkpoints_own_processor(pair: Pair) -> None:
    draw = np.random.default_rng(0)
    sizes = ((90, 61), (40, 200), (28, 28))
    pictures = [Image.fromarray(draw.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]
    processor = Qwen2VLImageProcessorPil.from_pretrained(pair.oracle.folder)
    given = processor(images=pictures, return_tensors="pt")
    token, counts = pair.case.config["image_token_id"], (given["image_grid_thw"].prod(-1) // 4).tolist()
    ids = [5, *(i for count in counts for i in [*[token] * count, 7, 9])]
    types = (torch.tensor([ids]) == token).int()
    wanted = pair.oracle.logits(ids, mm_token_type_ids=types, **given)
    assert rms_ratio(pair.model.logits(ids, images=pictures), wanted) <= TOLERANCE
    rule = triptych.assemble(None, pair.oracle.config).tokens["image"]
    assert [rule.count(ImageFacts(*size), processor.to_dict()) for size in sizes] == counts


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_positions_are_those_of_the_reference_over_any_mix(pair: Pair, data: st.DataObject) -> None:
    side = st.integers(1, 5).map(lambda n: 2 * n)
    item = st.one_of(st.tuples(side, side), st.tuples(st.integers(1, 4), side, side))
    sizes = data.draw(st.lists(item, max_size=4))
    paced = "second_per_grid_ts" in signature(pair.oracle.model.model.get_rope_index).parameters
    videos = sum(len(size) == 3 for size in sizes) if paced else 0
    seconds = data.draw(st.lists(st.sampled_from([0.5, 1.0, 1.5, 2.0]), min_size=videos, max_size=videos))
    asked = pair.ask(*sizes, seed=data.draw(st.integers(0, 99)), words=data.draw(st.integers(1, 5)), seconds=seconds)
    found, delta = pair.model.module.get_mrope_input_positions(list(asked.prompt.token_ids), asked.prompt.features)
    media = {key: value for key, value in asked.media.items() if not key.startswith("pixel")}
    ids = torch.tensor([asked.prompt.token_ids])
    types = media.pop("mm_token_type_ids", torch.zeros_like(ids).int())
    wanted, after = pair.oracle.model.model.get_rope_index(ids, types, **media)
    assert torch.equal(found, wanted[:, 0])
    assert delta == int(after)


def test_the_built_model_has_positions_of_several_axes(pair: Pair) -> None:
    assert supports_mrope(pair.model.module)


@pytest.mark.parametrize("name", [name for name in FAMILIES if name.startswith("qwen2")])
def test_names_of_other_layouts_give_the_same_model(name: str, tmp_path: Path) -> None:
    pair = Pair.of(CASES[name], tmp_path)
    wanted = pair.model.module.state_dict()
    file = tmp_path / "model.safetensors"
    nested = {"visual": "model.visual", "model": "model.language_model"}
    tensors = load_file(file)
    if any(key.startswith("model.visual") for key in tensors):
        nested = {new: old for old, new in nested.items()}
    save_file({_renamed(key, nested): tensor for key, tensor in tensors.items()}, file)
    found = triptych.load(tmp_path, dtype=torch.float32).module.state_dict()
    assert all(torch.equal(found[key], tensor) for key, tensor in wanted.items())


def test_experts_that_are_stored_the_other_way_round_are_the_same(tmp_path: Path) -> None:
    pair = Pair.of(CASES["qwen3_vl_moe"], tmp_path)
    wanted, file = pair.model.module.state_dict(), tmp_path / "model.safetensors"
    turned = {
        key: tensor.transpose(1, 2).contiguous() if ".experts." in key else tensor
        for key, tensor in load_file(file).items()
    }
    save_file(turned, file)
    found = triptych.load(tmp_path, dtype=torch.float32).module.state_dict()
    assert all(torch.equal(found[key], tensor) for key, tensor in wanted.items())


@pytest.mark.parametrize("name", GIVEN["released"])
def test_a_released_config_makes_the_model_of_its_tensors(name: str) -> None:
    config = GIVEN["released"][name]
    family = getattr(transformers, config["architectures"][0])
    with torch.device("meta"):
        theirs = family(family.config_class(**copy.deepcopy(config)))
    ours = triptych.assemble(None, config)
    found = match(ours.module, tables(ours.plan.scopes), {key: stored(p) for key, p in theirs.named_parameters()})
    assert found.findings == ()
    assert ours.module.context == config["text_config"]["max_position_embeddings"]


@pytest.mark.parametrize(
    ("family", "vision"),
    [
        ("Qwen2VLForConditionalGeneration", {"model_type": "qwen2_vl_vision", "hidden_size": 8192}),
        ("Qwen2_5_VLForConditionalGeneration", {"model_type": "qwen2_5_vl_vision", "out_hidden_size": 8192}),
        ("Qwen3VLForConditionalGeneration", {"model_type": "qwen3_vl_vision", "out_hidden_size": 4096}),
        ("Qwen3VLMoeForConditionalGeneration", {"model_type": "qwen3_vl_moe_vision", "out_hidden_size": 2048}),
    ],
)
def test_of_a_config_that_is_silent_all_is_as_its_class_has_it(family: str, vision: dict[str, Any]) -> None:
    """But for the width of what the tower's projector gives, which the classes' own defaults contradict."""
    kind = getattr(transformers, family)
    with torch.device("meta"):
        theirs = kind(kind.config_class(vision_config=dict(vision)))
    ours = triptych.assemble(None, {"architectures": [family], "vision_config": vision}).module
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    assert ours.context == theirs.config.text_config.max_position_embeddings


def _renamed(name: str, names: dict[str, str]) -> str:
    old = max((prefix for prefix in names if name.startswith(f"{prefix}.")), key=len, default="")
    return names.get(old, "") + name.removeprefix(old)


@pytest.mark.parametrize("name", [name for name in FAMILIES if name.startswith("qwen2")])
def test_a_flat_config_of_older_files_means_the_same(name: str, tmp_path: Path) -> None:
    pair = Pair.of(CASES[name], tmp_path)
    asked = pair.ask(*MIXED)
    text = dict(pair.oracle.config["text_config"])
    rope = text.pop("rope_parameters")
    scaling = {"type": "mrope", "mrope_section": rope["mrope_section"]}
    kept = {key: value for key, value in pair.oracle.config.items() if key != "text_config"}
    write_config(tmp_path, {**text, **kept, "rope_theta": rope["rope_theta"], "rope_scaling": scaling})
    model = triptych.load(tmp_path, dtype=torch.float32)
    assert rms_ratio(logits(model, [asked])[0], pair.wanted(asked)) <= TOLERANCE


@pytest.mark.parametrize(("name", "mistake"), GIVEN["mistakes"])
def test_a_mistake_of_one_line_shows_in_the_logits(name: str, mistake: str, tmp_path: Path) -> None:
    pair = Pair.of(CASES[name], tmp_path)
    asked = pair.ask(*MIXED)
    idle = [f"{at}inert=['*']" for at in ("", "towers.image.", "language_model.")]
    model = triptych.load(tmp_path, dtype=torch.float32, overrides=[*idle, mistake])
    assert rms_ratio(logits(model, [asked])[0], pair.wanted(asked)) > 10 * TOLERANCE


def test_items_without_a_grid_or_with_another_are_refused(tmp_path: Path) -> None:
    module = Pair.of(CASES["qwen2_vl"], tmp_path).model.module
    vectors = torch.zeros(16, 3 * 2 * 14**2)
    with pytest.raises(InputError, match="image_grid: the grid of each of 1 items is needed; 0 are given"):
        module.embed_multimodal(image=[vectors])
    with pytest.raises(InputError, match=r"vectors of \[16, 1176\] for a grid of \(1, 2, 4\); \[8, 1176\]"):
        module.embed_multimodal(image=[vectors], image_grid=[torch.tensor([1, 2, 4])])
    with pytest.raises(InputError, match=r"a grid of \(1, 16, 1\) has no whole blocks of 2 x 2"):
        module.embed_multimodal(image=[vectors], image_grid=[torch.tensor([1, 16, 1])])


def test_positions_of_items_that_come_without_a_grid_are_not_guessed(tmp_path: Path) -> None:
    pair = Pair.of(CASES["qwen2_vl"], tmp_path)
    asked = pair.ask((4, 4))
    (feature,) = asked.prompt.features
    bare = replace(feature, data=None)
    with pytest.raises(InputError, match=r"image\[0\]: comes without its grid, and tokens of items stand by it"):
        pair.model.module.get_mrope_input_positions(list(asked.prompt.token_ids), [bare])
    parted = torch.ones(5, dtype=torch.bool)
    parted[2] = False
    pieces = replace(feature, mm_position=PlaceholderRange(3, 5, parted))
    with pytest.raises(InputError, match="of 1 moments stands in 2 pieces; one, or one a moment, will do"):
        pair.model.module.get_mrope_input_positions(list(asked.prompt.token_ids), [pieces])
