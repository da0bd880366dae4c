"""Videos whose moments stand after texts of their times: ids, vectors, positions and tokens are the reference's."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers.video_utils import VideoMetadata

import triptych
from tests.inputs.media.video_maker import write_video
from tests.parity.grids import Pair, all_cases
from tests.parity.oracle import MATTERS, TOLERANCE, rms_ratio
from tests.parity.timed_videos import IMAGE, SIZE, VIDEO, PillowVideos, pair_of, reference, shades
from tests.parity.without_torchvision import qwen_videos
from triptych.errors import InputError
from triptych.parts.sampling import FirstToLast
from triptych.parts.smart_resize_whole import SmartResizeWhole
from triptych.runner.generate import generate
from triptych.runner.options import SamplingOptions
from triptych.runner.request import Request, RunOptions
from triptych.spec.item_facts import VideoFacts

CASES = {case.name: case for case in all_cases()}
LONG = {"fps": 7.0, "frames_indices": [0, 9, 33, 98], "total_num_frames": 100}


@pytest.fixture(scope="module", params=["qwen3_vl", "qwen3_vl_moe"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return pair_of(CASES[request.param], tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return pair_of(CASES["qwen3_vl"], tmp_path_factory.mktemp("checkpoint"))


def picture() -> Image.Image:
    return Image.fromarray(shades(1, seed=3)[0])


def known(video: Any) -> VideoMetadata:
    """As the reference completes what a user says of frames."""
    frames, metadata = video if isinstance(video, tuple) else (video, {})
    whole = {"total_num_frames": len(frames), "frames_indices": [*range(len(frames))], "fps": None}
    return VideoMetadata(**copy.deepcopy({**whole, **metadata}))  # to which the reference adds


def asked(pair: Pair, text: str, videos: Sequence[Any], images: Sequence[Image.Image] = ()) -> Mapping[str, Any]:
    """What the reference's processor makes of a prompt."""
    frames = [video[0] if isinstance(video, tuple) else video for video in videos]
    process = reference(pair, [*map(known, videos)])
    return process(images=[*images] or None, text=[text], videos=frames or None, return_tensors="pt")  # type: ignore[no-any-return]


def prepared(model: Any, text: str, videos: Sequence[Any], images: Sequence[Image.Image] = ()) -> Any:
    items = {"image": [*images], "video": [*videos]}
    return model.processor(text, {modality: each for modality, each in items.items() if each})


def media(given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key not in ("input_ids", "attention_mask")}


TWO = (shades(5), (shades(4, height=31, width=29, seed=1), LONG))


@pytest.mark.parametrize(
    ("text", "videos", "images"),
    [
        ("nothing to see", (), ()),
        (f"one: {VIDEO}?", TWO[:1], ()),
        (f"{VIDEO}{IMAGE} and {VIDEO} two", TWO, (picture(),)),
        (f"{VIDEO}{VIDEO}", ((shades(2), {"fps": 30.0}), (shades(7, seed=5), {"fps": 0.125})), ()),
    ],
)
def test_ids_vectors_and_grids_are_those_of_the_references_processor(
    text: str, videos: Sequence[Any], images: Sequence[Image.Image], one: Pair
) -> None:
    wanted, found = asked(one, text, videos, images), prepared(one.model, text, videos, images)
    assert [*found.prompt_token_ids] == wanted["input_ids"][0].tolist()
    if videos:
        data = [item.get_data() for item in found.mm_kwargs["video"]]
        assert torch.equal(torch.cat([each["video"] for each in data]), wanted["pixel_values_videos"])
        assert torch.equal(torch.stack([each["video_grid"] for each in data]), wanted["video_grid_thw"])
        rows = [place.get_num_embeds() for place in found.mm_placeholders["video"]]
        assert rows == (wanted["video_grid_thw"].prod(-1) // 4).tolist()


@torch.inference_mode()
def test_logits_positions_and_tokens_of_frames_a_file_and_a_picture_are_the_references(
    pair: Pair, tmp_path: Path
) -> None:
    whole, fps = shades(11, height=40, width=70, seed=2), 4
    taken = {"fps": float(fps), "total_num_frames": 11, "frames_indices": [0, 2, 5, 8, 10]}
    text, file = f"{IMAGE}what {VIDEO}, {VIDEO}?", write_video(tmp_path / "a.mkv", whole, rate=fps)
    frames = (whole[taken["frames_indices"]], taken)  # two a second
    given = asked(pair, text, [TWO[0], frames], [picture()])
    (ids,) = given["input_ids"].tolist()
    ours = pair.model.read_items(text, {"image": [picture()], "video": [TWO[0], file]})
    assert [*ours.token_ids] == ids
    grids = {key: value for key, value in media(given).items() if not key.startswith("pixel")}
    positions, after = pair.oracle.model.model.get_rope_index(given["input_ids"], **grids)
    found, delta = pair.model.module.get_mrope_input_positions(ids, ours.features)
    assert torch.equal(found, positions[:, 0])
    assert delta == int(after)
    wanted = pair.oracle.logits(ids, **media(given))
    assert rms_ratio(pair.model.logits(ids, images=[picture()], videos=[TWO[0], file]), wanted) <= TOLERANCE
    swapped = pair.model.logits(ids, images=[picture()], videos=[TWO[0], (frames[0][::-1], taken)])
    assert rms_ratio(swapped, wanted) > MATTERS
    options = SamplingOptions.of(temperature=0, max_tokens=6, ignore_eos=True)
    tokens = pair.oracle.generate(ids, 6, **media(given))
    for limits in ({}, {"max_num_batched_tokens": 7}):
        run = RunOptions(device=torch.device("cpu"), dtype=torch.float32, **limits)
        events = generate(pair.model.module, [Request(ours, options)] * 2, run=run)
        assert sorted((event.request, event.token_id) for event in events) == sorted(
            (number, token) for number in range(2) for token in tokens
        )


def test_a_video_alone_in_a_batch_and_from_the_cache_is_the_same(one: Pair) -> None:
    both = prepared(one.model, f"{VIDEO} {VIDEO}", TWO)
    for number, video in enumerate(TWO):
        for _ in range(2):  # from the cache, the second time
            alone = prepared(one.model, f"{VIDEO}", [video])
            place, mine = both.mm_placeholders["video"][number], alone.mm_placeholders["video"][0]
            assert torch.equal(
                alone.mm_kwargs["video"][0].get_data()["video"], both.mm_kwargs["video"][number].get_data()["video"]
            )
            ids = both.prompt_token_ids[place.offset : place.offset + place.length]
            assert ids == alone.prompt_token_ids[mine.offset : mine.offset + mine.length]
    faster = prepared(one.model, VIDEO, [(TWO[0], {"fps": 12.0})])
    assert faster.prompt_token_ids != prepared(one.model, VIDEO, [TWO[0]]).prompt_token_ids, "its times are others"


def test_a_prompt_that_another_processor_wrote_stays_as_it_is(one: Pair) -> None:
    ids = asked(one, f"{VIDEO} and {VIDEO}", TWO)["input_ids"][0].tolist()
    found = one.model.processor(ids, {"video": [*TWO]})
    assert [*found.prompt_token_ids] == ids


def test_the_time_of_a_video_of_one_row_is_written_too(one: Pair) -> None:
    config = {"size": {"shortest_edge": 32**2, "longest_edge": 2 * 32**2}}
    model = triptych.load(one.oracle.folder, multimodal=triptych.MultiModalSettings(processor={"videos": config}))
    text, videos = f"{VIDEO} {VIDEO}", (shades(2), (shades(2, seed=1), {"fps": 0.25}))
    process = reference(one, [*map(known, videos)], **config)
    wanted = process(text=[text], videos=[shades(2), shades(2, seed=1)], return_tensors="pt")["input_ids"][0].tolist()
    found = prepared(model, text, videos)
    assert [*found.prompt_token_ids] == wanted
    assert [place.get_num_embeds() for place in found.mm_placeholders["video"]] == [1, 1]
    assert model.processor(wanted, {"video": [*videos]}).prompt_token_ids == tuple(wanted), "as it stands there"


@settings(max_examples=60, deadline=None)
@given(
    total=st.integers(1, 4000),
    source=st.floats(1, 120),
    frames_a_second=st.floats(0.1, 30),
    number=st.integers(1, 900),
    bounds=st.sampled_from([(4, 768), (7, 60), (30, 31)]),
)
def test_frames_of_a_file_are_sampled_as_the_reference_does(
    total: int, source: float, frames_a_second: float, number: int, bounds: tuple[int, int]
) -> None:
    fewest, most = bounds
    own = SimpleNamespace(num_frames=None, fps=2, min_frames=fewest, max_frames=most)
    sample = qwen_videos("qwen3_vl").Qwen3VLVideoProcessor.sample_frames
    part, video = FirstToLast(together=2, fps=2.0, fewest=4, most=768), VideoFacts(total, 9, 9, source)
    for words in ({"fps": frames_a_second}, {"num_frames": min(number, total)}, {}):
        wanted = sample(own, VideoMetadata(total_num_frames=total, fps=source), **words).tolist()
        assert [*part(video, {**words, "min_frames": fewest, "max_frames": most})] == wanted
    assert [*part(video, {"num_frames": total + 1})] == [*range(total)], "none is taken twice"


@settings(max_examples=100, deadline=None)
@example(frames=5, sides=(64, 64), limits=(1, 17), tokens=None, capped=False)  # of which four count
@given(
    frames=st.integers(1, 900),
    sides=st.tuples(st.integers(1, 900), st.integers(1, 900)),
    limits=st.tuples(st.integers(1, 400), st.integers(0, 4000)),
    tokens=st.sampled_from([None, 20, 3000]),
    capped=st.booleans(),
)
def test_frames_have_the_size_that_the_reference_gives_them(
    frames: int, sides: tuple[int, int], limits: tuple[int, int], tokens: int | None, capped: bool
) -> None:
    size = {"shortest_edge": limits[0] * 32**2, "longest_edge": sum(limits) * 32**2}
    config = {"size": size, "cap_pixels_per_frame": capped, "max_video_tokens": tokens}
    part, video = SmartResizeWhole(patch=16, merge=2, frames=2), VideoFacts(frames, *sides)
    try:
        wanted = PillowVideos(SimpleNamespace(patch_size=16), [], config).sides(frames, *sides)
    except ValueError as error:
        told = "2 or more" if "t:" in str(error) else "at most 200 times the other"
        with pytest.raises(InputError, match=told):
            part(video, config)
        return
    assert part.sized(video, config) == wanted
    assert part(video, config) == (-(-frames // 2), wanted[0] // 16, wanted[1] // 16)


def test_frames_that_are_capped_are_prepared_so(one: Pair) -> None:
    capped = {"cap_pixels_per_frame": True, "max_video_tokens": 7}
    model = triptych.load(one.oracle.folder, multimodal=triptych.MultiModalSettings(processor={"videos": capped}))
    video = shades(4, height=200, width=300)
    wanted = reference(one, [known(video)], **capped)(text=[VIDEO], videos=[video], return_tensors="pt")
    (item,) = prepared(model, VIDEO, [video]).mm_kwargs["video"]
    assert torch.equal(item.get_data()["video"], wanted["pixel_values_videos"])
    assert wanted["video_grid_thw"].tolist() != asked(one, VIDEO, [video])["video_grid_thw"].tolist()


def test_what_is_no_video_of_this_model_is_told(one: Pair) -> None:
    with pytest.raises(InputError, match=r"video\[1\]: has 1 frame, and a video of this model has 2 or more; give a"):
        prepared(one.model, f"{VIDEO}{VIDEO}", [shades(2), shades(1)])
    with pytest.raises(
        InputError, match=r"video\[0\]: has 5 frames, and its metadata 4 frames_indices; give one of each"
    ):
        prepared(one.model, VIDEO, [(shades(5), LONG)])
    numbers = {**LONG, "frames_indices": np.array([0, 9, 33, 98])}
    same = prepared(one.model, VIDEO, [(TWO[1][0], numbers)])
    assert same.prompt_token_ids == prepared(one.model, VIDEO, [TWO[1]]).prompt_token_ids


def test_rows_with_their_grids_stand_after_the_times_of_frames_of_which_nothing_is_known(one: Pair) -> None:
    model = triptych.load(one.oracle.folder, dtype=torch.float32, multimodal=triptych.MultiModalSettings(embeds=True))
    whole = prepared(model, VIDEO, [TWO[0]])
    with torch.inference_mode():
        rows = model.module.embed_multimodal(**whole.mm_kwargs.get_data())
    grids = whole.mm_kwargs.get_data()["video_grid"]
    found = model.processor(VIDEO, {"video": {"video_embeds": rows, "video_grid_thw": [*grids]}})
    wanted = asked(one, VIDEO, [shades(6)])["input_ids"][0].tolist()  # three whole moments
    assert [*found.prompt_token_ids] == wanted
    with pytest.raises(InputError, match="rows that are encoded already do not say how they lie, and texts stand"):
        model.processor(VIDEO, {"video": rows})


def test_limits_are_those_of_the_class_where_files_are_silent(one: Pair) -> None:
    rule, own = (
        triptych.assemble(None, one.oracle.config).tokens["video"],
        qwen_videos("qwen3_vl").Qwen3VLVideoProcessor,
    )
    assert rule.defaults == {"size": own.size}
    assert rule.sampling == FirstToLast(together=2, fps=own.fps, fewest=own.min_frames, most=own.max_frames)
    assert own.size != SIZE
