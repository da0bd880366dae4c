"""Videos of LLaVA-OneVision equal the reference's, beside images in the same prompt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import triptych
from tests.inputs.media.video_maker import write_video
from tests.parity.multimodal import Pair, all_cases, picture
from tests.parity.oracle import MATTERS, TOLERANCE, rms_ratio
from tests.parity.vocabularies import IMAGE, VIDEO
from triptych.parts.step import Step
from triptych.runner.encode import encode_items

CASES = [case for case in all_cases() if case.name.startswith("onevision")]


@pytest.fixture(scope="module", params=CASES, ids=str)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair.of(request.param, tmp_path_factory.mktemp("checkpoint"))


def video(frames: int, *, seed: int = 0, height: int = 40, width: int = 90) -> NDArray[np.uint8]:
    generator = np.random.default_rng(seed)
    return np.stack([np.asarray(picture(generator, (height, width))) for _ in range(frames)])


def frames_of_the_reference(pair: Pair, frames: NDArray[np.uint8]) -> torch.Tensor:
    """What its processor of videos does, by the one of images: each frame brought to a square and normed."""
    images = pair.processor.image_processor([Image.fromarray(f) for f in frames], return_tensors="pt")
    return images["pixel_values"][:, 0]


@pytest.mark.parametrize("count", [1, 2, 5])
@torch.inference_mode()
def test_rows_and_tokens_of_a_video_are_those_of_the_reference(pair: Pair, count: int) -> None:
    given = video(count)
    pixels = frames_of_the_reference(pair, given)[None]
    (wanted,) = pair.oracle.model.model.get_video_features(pixels).pooler_output
    found = pair.model.processor([pair.oracle.model.config.video_token_id], {"video": [given]})
    (rows,) = encode_items(pair.model.module, found.features(), device=torch.device("cpu"))
    assert rms_ratio(rows, wanted) <= TOLERANCE
    counted = pair.processor.replace_video_token({"pixel_values_videos": pixels}, 0).count(VIDEO)
    assert len(rows) == len(found.prompt_token_ids) == counted


def prompt(pair: Pair) -> tuple[Any, dict[str, Any]]:
    """What our processor and the reference's make of two videos around an image."""
    videos, image = (
        [video(3, seed=1), video(2, seed=2, height=70, width=31)],
        picture(np.random.default_rng(3), (40, 70)),
    )
    text = f"w5 {VIDEO} w6 {IMAGE} w7 w8 {VIDEO} w9"
    ours = pair.model.processor(text, {"video": videos, "image": [image]})
    media = dict(pair.processor.image_processor([image], return_tensors="pt"))
    return ours, media | {"videos": [frames_of_the_reference(pair, each)[None] for each in videos]}


@torch.inference_mode()
def test_logits_of_images_and_videos_in_one_prompt_are_those_of_the_reference(pair: Pair) -> None:
    ours, media = prompt(pair)
    model, ids = pair.oracle.model, torch.tensor([ours.prompt_token_ids])
    rows = [model.model.get_video_features(each).pooler_output[0] for each in media.pop("videos")]
    images = model.model.get_image_features(**media).pooler_output
    embeds = model.get_input_embeddings()(ids)
    embeds[ids == model.config.video_token_id] = torch.cat(rows)
    embeds[ids == model.config.image_token_id] = torch.cat(images)
    wanted = model(inputs_embeds=embeds, use_cache=False).logits[0]
    assert rms_ratio(logits(pair, ours), wanted) <= TOLERANCE
    embeds[ids == model.config.video_token_id] = torch.cat(rows[::-1])
    assert rms_ratio(logits(pair, ours), model(inputs_embeds=embeds, use_cache=False).logits[0]) > MATTERS


def logits(pair: Pair, prepared: Any) -> torch.Tensor:
    """Ours, of a prompt and its items."""
    module, ids = pair.model.module, torch.tensor(prepared.prompt_token_ids)
    rows = encode_items(module, prepared.features(), device=torch.device("cpu"))
    places = (ids == pair.placeholder) | (ids == pair.oracle.model.config.video_token_id)
    step = Step.of([len(ids)])
    embeds = module.embed_input_ids(ids, rows, is_multimodal=places)
    found: torch.Tensor = module.compute_logits(module(None, step.positions, step=step, inputs_embeds=embeds))
    return found


def test_of_a_file_frames_are_taken_far_apart_and_prepared_as_the_processor_of_videos_says(
    pair: Pair, tmp_path: Path
) -> None:
    side = pair.case.config["vision_config"]["image_size"]
    own = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7], "size": {"height": side, "width": side}}
    file, beside = write_video(tmp_path / "a.mkv", video(40)), pair.oracle.folder / "video_preprocessor_config.json"
    beside.write_text(json.dumps(own))
    try:
        found = triptych.load(pair.oracle.folder).processor("<video>", {"video": file})
    finally:
        beside.unlink()
    taken = video(40)[[number * 40 // 32 for number in range(32)]]
    told: Any = {"return_tensors": "pt", **own}
    images = pair.processor.image_processor([Image.fromarray(frame) for frame in taken], **told)
    assert torch.equal(found.mm_kwargs["video"][0].get_data()["video"], images["pixel_values"][:, 0])
