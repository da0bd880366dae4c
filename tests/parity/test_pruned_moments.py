"""Videos of which rows are left out between texts of their times, against what is left of a whole one.

The reference has no such pruning: its own layers are given the rows, texts and positions that stay of a whole prompt.
"""
# N tokens of a whole prompt, S of them that stay, D width

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

import triptych
from tests.parity.grids import Pair, all_cases
from tests.parity.oracle import TOLERANCE, rms_ratio
from tests.parity.test_timed_videos import LONG, asked, media, picture
from tests.parity.timed_videos import IMAGE, VIDEO, pair_of, shades
from triptych import MultiModalSettings
from triptych.errors import CapabilityError
from triptych.parts.evs import kept_rows
from triptych.runner.generate import generate
from triptych.runner.options import SamplingOptions
from triptych.runner.request import Request, RunOptions
from triptych.spec.item_facts import VideoFacts

CASES = {case.name: case for case in all_cases()}
TEXT = f"{IMAGE}what {VIDEO}, {VIDEO}?"
VIDEOS = (shades(7, seed=4), (shades(4, height=31, width=29, seed=1), LONG))
RUN = {"device": torch.device("cpu"), "dtype": torch.float32}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return pair_of(CASES["qwen3_vl, two layers added, biases, tied"], tmp_path_factory.mktemp("checkpoint"))


def loaded(pair: Pair, rate: float) -> Any:
    return _loaded(pair.oracle.folder, rate)


@cache
def _loaded(folder: Path, rate: float) -> Any:
    return triptych.load(folder, dtype=torch.float32, multimodal=MultiModalSettings(video_pruning=rate))


def staying(ids: Tensor, token: int, rows: list[Tensor], grids: Tensor, *, rate: float) -> Tensor:
    """The tokens of a whole prompt that stay: all but those of the rows that change least."""
    gone, places = list[Tensor](), (ids == token).nonzero()[:, 0]
    for rows_ND, (t, _, _) in zip(rows, grids.tolist(), strict=True):
        own, places = places[: len(rows_ND)], places[len(rows_ND) :]
        is_gone = torch.ones(len(rows_ND), dtype=torch.bool)
        is_gone[kept_rows(rows_ND, moments=t, rate=rate)] = False
        gone.append(own[is_gone])
    return torch.tensor([n for n in range(len(ids)) if n not in {*torch.cat(gone).tolist()}])


@torch.inference_mode()
def wanted(pair: Pair, whole: Mapping[str, Any], rate: float) -> tuple[Tensor, Tensor]:
    """Logits [S, V] and positions [3, S] of what stays, by the reference's layers."""
    inner, config, ids = pair.oracle.model.model, pair.case.config, whole["input_ids"][0]
    images = inner.get_image_features(whole["pixel_values"], whole["image_grid_thw"])
    videos = inner.get_video_features(whole["pixel_values_videos"], whole["video_grid_thw"])
    embeds_ND, seen = inner.get_input_embeddings()(ids), torch.zeros(len(ids), dtype=torch.bool)
    deep = [torch.zeros(len(ids), embeds_ND.shape[1]) for _ in images.deepstack_features]
    for kind, found in (("image", images), ("video", videos)):
        own = ids == config[f"{kind}_token_id"]
        embeds_ND[own], seen = torch.cat([*found.pooler_output]), seen | own
        for layer, rows in zip(deep, found.deepstack_features, strict=True):
            layer[own] = torch.cat([*rows])
    grids = {key: value for key, value in media(whole).items() if not key.startswith("pixel")}
    places, _ = inner.get_rope_index(whole["input_ids"], **grids)
    stay = staying(ids, config["video_token_id"], [*videos.pooler_output], whole["video_grid_thw"], rate=rate)
    hidden = inner.language_model(
        inputs_embeds=embeds_ND[None, stay],
        position_ids=places[:, :, stay],
        visual_pos_masks=seen[None, stay],
        deepstack_visual_embeds=[layer[stay][seen[stay]] for layer in deep],
    )
    return pair.oracle.model.lm_head(hidden.last_hidden_state)[0], places[:, 0, stay]


@pytest.mark.parametrize("rate", [0.3, 0.6, 0.95])
def test_logits_and_positions_are_those_of_what_stays_and_all_texts_of_times_do(pair: Pair, rate: float) -> None:
    model, whole = loaded(pair, rate), asked(pair, TEXT, VIDEOS, [picture()])
    expected, places = wanted(pair, whole, rate)
    assert len(expected) < whole["input_ids"].shape[1]
    items = {"image": [picture()], "video": [*VIDEOS]}
    prompt = model.read_items(TEXT, items)
    assert len(prompt.token_ids) == len(expected)
    before, delta = model.module.get_mrope_input_positions([*prompt.token_ids], prompt.features)
    rows = [row for each in prompt.features for row in _encoded(model, each)]
    _, found, after = model.module.recompute_mrope_positions([*prompt.token_ids], rows, before, 0)
    assert torch.equal(found, places)
    assert (after, after + len(expected)) == (delta, int(places.max()) + 1)
    options = SamplingOptions.of(temperature=0, max_tokens=4, ignore_eos=True, logprobs=1)
    answers = []
    for limits in ({}, {"max_num_batched_tokens": 7}):
        events = [*generate(model.module, [Request(prompt, options)] * 2, run=RunOptions(**RUN, **limits))]
        answers.append([event.token_id for event in events if event.request == 0])
        assert answers[-1] == [event.token_id for event in events if event.request == 1]
    assert answers[0] == answers[1]
    assert answers[0][0] == int(expected[-1].argmax())
    assert rms_ratio(model.logits(prompt_ids(pair), images=[picture()], videos=[*VIDEOS]), expected) <= TOLERANCE


def prompt_ids(pair: Pair) -> list[int]:
    """The prompt with one placeholder an item."""
    ids: list[int] = pair.model.tokenizer.encode(TEXT)
    return ids


def _encoded(model: Any, feature: Any) -> list[Tensor]:
    data = {key: [value] for key, value in feature.data.get_data().items()}
    with torch.inference_mode():
        found: list[Tensor] = model.module.embed_multimodal(**data)
    return found


def test_a_video_alone_together_and_from_the_cache_is_the_same(pair: Pair) -> None:
    model = loaded(pair, 0.6)
    both = model.read_items(f"{VIDEO} {VIDEO}", {"video": [*VIDEOS]}).features
    for number, video in enumerate(VIDEOS):
        alone, again = (model.read_items(VIDEO, {"video": [video]}).features[0] for _ in range(2))
        assert again.data is alone.data
        (rows,), (mine,) = _encoded(model, both[number]), _encoded(model, alone)
        assert torch.equal(rows, mine)
        assert len(rows) == both[number].mm_position.get_num_embeds()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frames=st.integers(2, 12),
    sides=st.tuples(st.integers(8, 200), st.integers(8, 200)),
    rate=st.sampled_from([0.3, 0.6, 0.95]),
)
def test_as_many_rows_stay_as_are_counted(pair: Pair, frames: int, sides: tuple[int, int], rate: float) -> None:
    model = loaded(pair, rate)
    prompt = model.read_items(VIDEO, {"video": [shades(frames, height=sides[0], width=sides[1])]})
    (rows,), facts = _encoded(model, prompt.features[0]), VideoFacts(frames, *sides)
    assert len(rows) == prompt.features[0].mm_position.get_num_embeds()
    assert len(rows) == model.processor.info.count("video", facts)
    whole = pair.model.processor.info.count("video", facts)
    texts = [*pair.model.read_items(VIDEO, {"video": [shades(frames, height=sides[0], width=sides[1])]}).token_ids]
    texts = texts[1:-1]  # but for what the prompt has around a video
    moments = -(-frames // 2)
    assert len(rows) == max(whole // moments, int(whole * (1 - rate))) + len(texts) - whole


def test_without_the_language_model_its_texts_cannot_be_rows(pair: Pair) -> None:
    settings = MultiModalSettings(video_pruning=0.5, encoder_only=True)
    model = triptych.load(pair.oracle.folder, dtype=torch.float32, multimodal=settings)
    (feature,) = model.read_items(VIDEO, {"video": [VIDEOS[0]]}).features
    with pytest.raises(CapabilityError, match="the language model is left out of this model: encoder_only is set"):
        _encoded(model, feature)
