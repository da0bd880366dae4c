"""Videos of which rows are left out: the reference, given the rows and positions that stay, says the same."""
# N tokens of a prompt, D width

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import triptych
from tests.parity.grids import Asked, Pair, all_cases
from tests.parity.oracle import TOLERANCE, rms_ratio
from triptych import MultiModalSettings, Stage
from triptych.assembly import assemble
from triptych.capabilities import supports_multimodal_pruning
from triptych.errors import InputError, OptionError
from triptych.inputs.fields import MultiModalFieldConfig
from triptych.inputs.items import MultiModalKwargsItems
from triptych.inputs.placeholders import PlaceholderRange
from triptych.parts.evs import kept_rows
from triptych.parts.step import Step
from triptych.runner.generate import generate
from triptych.runner.options import SamplingOptions
from triptych.runner.reading import read_prompts
from triptych.runner.request import Request, RunOptions
from triptych.spec.catalog import load_named, sample_config
from triptych.spec.item_facts import ImageFacts, VideoFacts

CASES = {case.name: case for case in all_cases()}
SIZES = ((6, 4), (4, 4, 6), (2, 8))  # a video between two images
RATE = 0.6


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair.of(CASES["qwen2_5_vl"], tmp_path_factory.mktemp("pruning"))


@pytest.fixture(scope="module")
def model(pair: Pair) -> Any:
    return loaded(pair, RATE)


def loaded(pair: Pair, rate: float) -> Any:
    return triptych.load(pair.oracle.folder, dtype=torch.float32, multimodal=MultiModalSettings(video_pruning=rate))


def run_options(**given: Any) -> RunOptions:
    return RunOptions(device=torch.device("cpu"), dtype=torch.float32, **given)


@torch.inference_mode()
def logits(model: Any, asked: Sequence[Asked]) -> list[Tensor]:
    lengths = [len(each.prompt.token_ids) for each in asked]
    hidden = read_prompts(model.module, [each.prompt for each in asked], Step.of(lengths), run=run_options())
    return list(torch.split(model.module.compute_logits(hidden), lengths))


def staying(pair: Pair, whole: Asked, rate: float) -> Tensor:
    """The tokens of a whole prompt that stay, by the reference's rows."""
    token, media = pair.case.config["video_token_id"], whole.media
    features = pair.oracle.model.model.get_video_features(media["pixel_values_videos"], media["video_grid_thw"])
    gone, ids = list[int](), torch.tensor(whole.prompt.token_ids)
    places = (ids == token).nonzero()[:, 0]
    for rows, grid in zip(features.pooler_output, media["video_grid_thw"].tolist(), strict=True):
        kept = {*kept_rows(rows, moments=grid[0], rate=rate).tolist()}
        gone += [int(place) for n, place in enumerate(places[: len(rows)]) if n not in kept]
        places = places[len(rows) :]
    return torch.tensor([n for n in range(len(ids)) if n not in {*gone}])


@torch.inference_mode()
def wanted(pair: Pair, whole: Asked, rate: float) -> tuple[Tensor, Tensor]:
    """The reference's logits of the tokens that stay, and where these stand [3, N]."""
    inner, media, ids = pair.oracle.model.model, whole.media, torch.tensor([whole.prompt.token_ids])
    embeds_1ND = inner.get_input_embeddings()(ids)
    for kind, suffix in (("image", ""), ("video", "_videos")):
        encode = getattr(inner, f"get_{kind}_features")
        found = encode(media[f"pixel_values{suffix}"], media[f"{kind}_grid_thw"]).pooler_output
        embeds_1ND[ids == pair.case.config[f"{kind}_token_id"]] = torch.cat([*found])
    grids = {key: value for key, value in media.items() if not key.startswith(("pixel", "mm_token"))}
    places, _ = inner.get_rope_index(ids, media["mm_token_type_ids"], **grids)
    stay = staying(pair, whole, rate)
    given = {"inputs_embeds": embeds_1ND[:, stay], "position_ids": places[:, :, stay]}
    return pair.oracle.model(**given).logits[0], places[:, 0, stay]


def both(pair: Pair, *, seed: int = 0, rate: float = RATE, seconds: Sequence[float] = (1.5,)) -> tuple[Asked, Asked]:
    """A prompt as it is pruned, and the whole of it."""
    return pair.ask(*SIZES, seed=seed, rate=rate, seconds=seconds), pair.ask(*SIZES, seed=seed, seconds=seconds)


@pytest.mark.parametrize("rate", [0.2, 0.6, 0.95])
def test_logits_are_those_of_the_reference_on_what_stays(pair: Pair, rate: float) -> None:
    pruned, whole = both(pair, rate=rate)
    model = loaded(pair, rate)
    found = logits(model, [pair.ask((4, 4), seed=7), pruned])[1]
    expected, _ = wanted(pair, whole, rate)
    assert len(expected) < len(whole.prompt.token_ids)
    assert rms_ratio(found, expected) <= TOLERANCE


def test_rows_say_where_they_stand_and_what_follows_stands_where_it_did(pair: Pair, model: Any) -> None:
    pruned, whole = both(pair)
    ids, features = list(pruned.prompt.token_ids), pruned.prompt.features
    before, delta = model.module.get_mrope_input_positions(ids, features)
    rows = [row for each in features for row in encoded(model, each)]
    _, places = wanted(pair, whole, RATE)
    for ids_given in (ids, torch.tensor(ids)):
        found, positions, after = model.module.recompute_mrope_positions(ids_given, rows, before, 0)
        assert torch.equal(positions, places)
        assert after == delta
        assert [each.shape[1] for each in found] == [model.module.item_width] * 3
    whole_ids = list(whole.prompt.token_ids)
    _, of_whole = pair.model.module.get_mrope_input_positions(whole_ids, whole.prompt.features)
    assert delta + len(ids) == of_whole + len(whole_ids), "a token that follows stands where it would after all rows"


def encoded(model: Any, feature: Any) -> list[Tensor]:
    data = {key: [value] for key, value in feature.data.get_data().items()}
    with torch.inference_mode():
        found: list[Tensor] = model.module.embed_multimodal(**data)
    return found


def test_of_tokens_that_were_computed_before_nothing_is_said_again(pair: Pair, model: Any) -> None:
    pruned, _ = both(pair)
    ids, features = list(pruned.prompt.token_ids), pruned.prompt.features
    before, _ = model.module.get_mrope_input_positions(ids, features)
    rows = [row for each in features for row in encoded(model, each)]
    _, at_once, _ = model.module.recompute_mrope_positions(ids, rows, before, 0)
    start = features[1].mm_position.offset + 5  # in the middle of the video
    _, later, _ = model.module.recompute_mrope_positions(ids, [rows[1][5:]], before, start)
    stop = features[1].mm_position.offset + features[1].mm_position.length
    assert torch.equal(later[:, start:stop], at_once[:, start:stop])
    assert torch.equal(later[:, :start], before[:, :start])
    with pytest.raises(InputError, match="rows of items for 0 tokens of items from token"):
        model.module.recompute_mrope_positions(ids, rows, before, len(ids))


def test_pieces_of_a_prompt_give_the_tokens_of_the_whole(pair: Pair, model: Any) -> None:
    asked = [both(pair, seed=seed)[0] for seed in (4, 4, 5)]
    options = SamplingOptions.of(temperature=0, max_tokens=6, ignore_eos=True)
    found = []
    for run in (run_options(), run_options(max_num_batched_tokens=7, max_batch=2)):
        answers: dict[int, list[int]] = {}
        for event in generate(model.module, [Request(each.prompt, options) for each in asked], run=run):
            answers.setdefault(event.request, []).append(event.token_id)
        found.append(answers)
    assert found[0] == found[1]
    assert [answer[0] for answer in found[0].values()] == [
        int(wanted(pair, both(pair, seed=seed)[1], RATE)[0][-1].argmax()) for seed in (4, 4, 5)
    ]


def test_placeholders_are_counted_as_rows_stay(pair: Pair) -> None:
    config = pair.oracle.config
    plain = assemble(None, config).tokens
    pruned = assemble(None, config, multimodal=MultiModalSettings(video_pruning=RATE)).tokens
    image, video = ImageFacts(90, 61), VideoFacts(9, 90, 61)
    assert pruned["image"].count(image, {}) == plain["image"].count(image, {})
    rows = plain["video"].count(video, {})
    assert pruned["video"].count(video, {}) == int(rows * (1 - RATE)) > rows // 5


def test_of_rows_that_are_encoded_already_none_are_left_out(pair: Pair, model: Any) -> None:
    whole = pair.ask((4, 4, 6))
    (feature,) = whole.prompt.features
    assert feature.data is not None
    rows = torch.zeros(24, model.module.width)
    data = {"video_embeds": rows, "video_grid": feature.data.get_data()["video_grid"]}
    fields = {key: MultiModalFieldConfig.batched("video") for key in data}
    (item,) = MultiModalKwargsItems.from_hf_inputs({key: value[None] for key, value in data.items()}, fields)["video"]
    ids, given = list(whole.prompt.token_ids), [replace(feature, data=item)]
    positions, delta = model.module.get_mrope_input_positions(ids, given)
    wanted, after = pair.model.module.get_mrope_input_positions(ids, [feature])
    assert torch.equal(positions, wanted)
    assert delta == after
    again = model.module.recompute_mrope_positions(ids, [rows], positions, 0)
    assert torch.equal(again[1], wanted)


@pytest.fixture
def apart(tmp_path: Path) -> Pair:
    return Pair.of(CASES["qwen3_vl"], tmp_path)


def test_a_video_in_pieces_is_refused_and_one_in_one_piece_is_served(apart: Pair) -> None:
    model = loaded(apart, RATE)
    assert supports_multimodal_pruning(model.module)
    asked = apart.ask((4, 4, 6), rate=0.0)
    with pytest.raises(
        InputError, match=r"video\[0\]: stands in 4 pieces, and how many rows of each moment stay is not"
    ):
        model.module.get_mrope_input_positions(list(asked.prompt.token_ids), asked.prompt.features)
    (feature,) = asked.prompt.features
    (rows,) = encoded(model, feature)
    ids = [5, *[apart.case.config["video_token_id"]] * len(rows), 6]
    place = replace(feature, mm_position=PlaceholderRange(1, len(rows)))
    before, _ = model.module.get_mrope_input_positions(ids, [place])
    found, positions, _ = model.module.recompute_mrope_positions(ids, [rows], before, 0)
    assert found[0].shape == (len(rows), model.module.item_width)
    assert positions[:, 1].tolist() == [1, 1, 1]
    (whole,) = encoded(apart.model, feature)
    kept = kept_rows(whole[:, : model.module.width], moments=4, rate=RATE)  # what is added after layers has no say
    assert kept.tolist() != kept_rows(whole, moments=4, rate=RATE).tolist()
    assert torch.equal(found[0], whole[kept])
    assert positions[0].unique().numel() > 1


@pytest.mark.parametrize(
    ("spec", "given", "message"),
    [
        ("llava", {}, "llava does not leave out rows of videos: no positions of several axes"),
        ("qwen2_5_vl", {"stage": Stage(0, 2)}, "which rows stay is known on the first stage alone; use one stage"),
    ],
)
def test_models_and_stages_that_cannot_leave_out_rows_refuse(spec: str, given: dict[str, Any], message: str) -> None:
    config = sample_config(load_named(spec)[1])
    with pytest.raises(OptionError, match=f"multimodal.video_pruning: {message}"):
        assemble(spec, config, multimodal=MultiModalSettings(video_pruning=0.5), **given)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 2, True, "half", float("nan")])
def test_a_rate_is_a_share_below_one(rate: Any) -> None:
    with pytest.raises(OptionError, match="video_pruning: a share"):
        MultiModalSettings(video_pruning=rate)
