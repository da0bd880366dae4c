"""MiniCPM-V's videos are images that are not cut, one a line; and rows that were encoded elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import triptych
from tests.inputs.media.video_maker import write_video
from tests.parity.multimodal import picture
from tests.parity.oracle import MATTERS, TOLERANCE, rms_ratio
from tests.parity.sliced import SIZES, Pair, tokenizer
from tests.reference.minicpmv import TARGET
from triptych.errors import InputError
from triptych.parts.step import Step
from triptych.runner.reading import read_prompts
from triptych.runner.request import RunOptions

RUN = RunOptions(device=torch.device("cpu"), dtype=torch.float32)
VIDEO = "(<video>./</video>)"


@pytest.fixture(scope="module", params=["2.6", "4.5"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("checkpoint")
    yield Pair.of(request.param, folder)
    shutil.rmtree(folder)


def frames(count: int, *, seed: int = 0, size: tuple[int, int] = (130, 55)) -> list[Image.Image]:
    """Of a size that an image would be cut at."""
    draw = np.random.default_rng(seed)
    return [picture(draw, size) for _ in range(count)]


def written(pair: Pair, text: str, videos: list[list[Image.Image]], images: list[Image.Image]) -> list[int]:
    """The ids that the description has for a text with videos and images in it."""
    for video in videos:
        text = text.replace(VIDEO, pair.reference.text_of_frames(video), 1)
    ids: list[int] = tokenizer()(pair.written(text, images))["input_ids"]
    return ids


@pytest.mark.parametrize(("count", "size"), [(1, (40, 70)), (2, (130, 55)), (5, (9, 14))])
def test_rows_and_tokens_of_a_video_are_those_of_its_frames_alone(
    pair: Pair, count: int, size: tuple[int, int]
) -> None:
    video = frames(count, size=size)
    prepared = pair.model.processor(VIDEO, {"video": [video]})
    with torch.inference_mode():
        (rows,) = pair.model.module.embed_multimodal(**prepared.mm_kwargs.get_data())
    assert rms_ratio(rows, torch.cat([pair.reference.rows(each, whole=True) for each in video])) <= TOLERANCE
    assert [*prepared.prompt_token_ids] == written(pair, VIDEO, [video], [])


@pytest.mark.parametrize(
    ("text", "order"),
    [
        (f"w5 {VIDEO} w6 {TARGET} w7 {VIDEO} w8", "viv"),
        (f"w5 {TARGET} w6 {VIDEO} w7 w9 {VIDEO}", "ivv"),
        (f"{VIDEO} {VIDEO} w6 {TARGET}", "vvi"),
    ],
)
def test_prompts_and_logits_of_videos_among_images_are_those_of_the_reference(
    pair: Pair, text: str, order: str
) -> None:
    videos, images = [frames(3, seed=1), frames(2, seed=2, size=(40, 70))], frames(1, seed=3, size=SIZES[0])
    ids, given = written(pair, text, videos, images), {"v": iter(videos), "i": iter(images)}
    (request,) = pair.model.requests(text, videos=videos, images=images, raw=True)
    assert [*request.prompt.token_ids] == ids
    wanted = pair.wanted(ids, [next(given[kind]) for kind in order])
    assert rms_ratio(logits(pair.model, request.prompt), wanted) <= TOLERANCE
    (other,) = pair.model.requests(text, videos=[videos[0][::-1], videos[1]], images=images, raw=True)
    assert rms_ratio(logits(pair.model, other.prompt), wanted) > MATTERS


@torch.inference_mode()
def logits(model: Any, prompt: Any) -> torch.Tensor:
    """Of a prompt with its items, as a request has them."""
    hidden = read_prompts(model.module, [prompt], Step.of([len(prompt.token_ids)]), run=RUN)
    found: torch.Tensor = model.module.compute_logits(hidden)
    return found


def test_a_prompt_that_another_processor_wrote_for_a_video_stays_as_it_is(pair: Pair) -> None:
    video = frames(2)
    ids = written(pair, f"w5 {VIDEO} w6", [video], [])
    (request,) = pair.model.requests([ids], videos=[[video]])
    assert [*request.prompt.token_ids] == ids
    found = logits(pair.model, request.prompt)
    assert rms_ratio(found, pair.wanted(ids, [video])) <= TOLERANCE


@pytest.mark.parametrize(
    ("text", "items", "message"),
    [
        (TARGET, {"video": 1}, r"0 placeholders \(\(<video>\./</video>\)\) for 1 video; write"),
        (VIDEO, {"image": 1}, r"1 placeholder \(\(<video>\./</video>\)\) for 0 videos"),
        (VIDEO, {"image": 1}, r"0 placeholders \(\(<image>\./</image>\)\) for 1 image; write"),
        (TARGET + VIDEO, {"video": 2, "image": 1}, r"1 placeholder \(\(<video>\./</video>\)\) for 2 videos"),
    ],
)
def test_places_of_one_kind_are_not_taken_by_the_other(
    pair: Pair, text: str, items: dict[str, int], message: str
) -> None:
    given = {kind: [frames(2) if kind == "video" else frames(1)[0]] * count for kind, count in items.items()}
    with pytest.raises(InputError, match=message):
        pair.model.processor(text, given)


def test_of_a_file_a_frame_a_second_is_taken(pair: Pair, tmp_path: Path) -> None:
    shown = np.stack([np.asarray(frame) for frame in frames(33, size=(40, 56))])
    file = write_video(tmp_path / "a.mkv", shown, rate=10)
    taken = [Image.fromarray(frame) for frame in shown[[0, 10, 20, 30]]]
    (request,) = pair.model.requests(VIDEO, videos=[file], raw=True)
    ids = written(pair, VIDEO, [taken], [])
    assert [*request.prompt.token_ids] == ids
    assert rms_ratio(logits(pair.model, request.prompt), pair.wanted(ids, [taken])) <= TOLERANCE


def test_version_2_5_takes_no_videos(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="video: the model takes no such items"):
        Pair.of("2.5", tmp_path).model.requests(VIDEO, videos=[frames(2)], raw=True)


@pytest.fixture(scope="module")
def with_embeds(pair: Pair) -> Any:
    return triptych.load(pair.folder, dtype=torch.float32, multimodal=triptych.MultiModalSettings(embeds=True))


def test_rows_with_the_sizes_of_their_images_give_what_the_images_themselves_give(pair: Pair, with_embeds: Any) -> None:
    text, images, ids = pair.ask(images=2)
    sizes = torch.tensor([[image.height, image.width] for image in images])
    given = {"image_embeds": pair.rows(images), "image_sizes": sizes}
    prompt = with_embeds.read_items(f"<s>{text}", {"image": given})
    assert [*prompt.token_ids] == ids
    assert rms_ratio(logits(with_embeds, prompt), pair.wanted(ids, images)) <= TOLERANCE


def test_rows_that_do_not_fit_their_images_are_refused(pair: Pair, with_embeds: Any) -> None:
    text, (image,), _ = pair.ask(images=1)
    (rows,), sizes = pair.rows([image]), torch.tensor([[image.height, image.width]])
    each = len(rows) // 3
    wrong: dict[str, Any] = {
        rf"image\[0\]: has {each} rows, and one of 40 x 70 pixels takes {len(rows)}": {"image_embeds": [rows[:each]]},
        r"image_sizes: the height and width of each image in pixels are wanted": {"image_sizes": sizes[:, :1]},
        r"image_sizes: .* whole numbers from 1 up": {"image_sizes": 0 * sizes},
        r"different numbers of items: image_embeds 1, image_sizes 2": {"image_sizes": sizes.repeat(2, 1)},
        r"image\[0\]: expected shape \(n, 256\), found \(\d+, 255\)": {"image_embeds": [rows[:, 1:]]},
        r"image\.image_sizes: is missing": {"image_sizes": None},
    }
    for message, change in wrong.items():
        with pytest.raises(InputError, match=message):
            with_embeds.read_items(text, {"image": {"image_embeds": [rows], "image_sizes": sizes} | change})


def test_rows_of_images_without_their_sizes_and_rows_of_videos_are_refused(with_embeds: Any) -> None:
    rows = torch.zeros(1, 4, 256)
    for text, items in ((TARGET, {"image": rows}), (VIDEO, {"video": rows})):
        with pytest.raises(InputError, match="4 rows that are encoded already do not say how their image was cut"):
            with_embeds.read_items(text, items)
