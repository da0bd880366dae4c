"""Videos of families whose items are vectors of patches: frames, vectors, counts and logits are the reference's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.video_utils import VideoMetadata

import triptych
from tests.inputs.media.video_maker import write_video
from tests.parity.grids import Pair, all_cases
from tests.parity.oracle import MATTERS, TOLERANCE, rms_ratio
from tests.parity.without_torchvision import qwen_videos
from triptych.errors import InputError, OptionError
from triptych.inputs.media.video_files import read_video
from triptych.inputs.processing.image_processor import moments
from triptych.parts.sampling import Moments, Uniform
from triptych.spec.item_facts import VideoFacts

CASES = {case.name: case for case in all_cases()}
NAMES = ["qwen2_vl", "qwen2_vl, other sections, one head, tied", "qwen2_5_vl"]
TOGETHER = 2


@pytest.fixture(scope="module", params=NAMES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """With a budget for frames that is another than that for pictures."""
    found = Pair.of(CASES[request.param], tmp_path_factory.mktemp("checkpoint"))
    patch = found.case.config["vision_config"]["patch_size"]
    own = {"size": {"shortest_edge": 2 * 4 * patch**2, "longest_edge": 12 * 4 * patch**2}}
    (found.oracle.folder / "video_preprocessor_config.json").write_text(json.dumps(own))
    return found


def frames(count: int, *, height: int = 60, width: int = 90, seed: int = 0) -> NDArray[np.uint8]:
    draw = np.random.default_rng(seed)
    coarse = [Image.fromarray(draw.integers(0, 256, (4, 4, 3), dtype=np.uint8)) for _ in range(count)]
    return np.stack([np.asarray(each.resize((width, height), Image.Resampling.NEAREST)) for each in coarse])


def of_the_reference(pair: Pair, video: NDArray[np.uint8], *, most: int | None = None) -> tuple[Tensor, Tensor]:
    """Vectors and grid: each frame by its processor of images, made vectors of by its processor of videos."""
    images = Qwen2VLImageProcessorPil.from_pretrained(pair.oracle.folder)
    budget = json.loads((pair.oracle.folder / "video_preprocessor_config.json").read_text())["size"]
    budget = SimpleNamespace(**(budget | ({"longest_edge": most} if most else {})))
    patch, merge = images.patch_size, images.merge_size
    pixels = []
    for frame in video:
        sized = images.resize(frame.transpose(2, 0, 1), size=budget, resample=images.resample, factor=patch * merge)
        normed = images.normalize(images.rescale(sized, images.rescale_factor), images.image_mean, images.image_std)
        pixels.append(torch.from_numpy(np.asarray(normed, np.float32)))
    patchify = qwen_videos().Qwen2VLVideoProcessor.patchify
    vectors, *grid = patchify(None, torch.stack(pixels)[None], patch, merge, TOGETHER)
    return vectors[0], torch.tensor(grid)


def prepared(pair: Pair, *videos: Any, model: Any = None) -> Any:
    token = pair.case.config["video_token_id"]
    return (model or pair.model).processor([5, *[token, 6] * len(videos)], {"video": [*videos]})


@pytest.mark.parametrize("count", [1, 2, 5])
def test_vectors_grids_and_counts_are_those_of_the_reference_alone_and_together(pair: Pair, count: int) -> None:
    one, other = frames(count), frames(4, height=31, width=29, seed=1)
    both = prepared(pair, one, other)
    for index, video in enumerate((one, other)):
        vectors, grid = of_the_reference(pair, video)
        (alone,) = prepared(pair, video).mm_kwargs["video"]
        for item in (alone.get_data(), both.mm_kwargs["video"][index].get_data()):
            assert torch.equal(item["video"], vectors)
            assert torch.equal(item["video_grid"], grid)
        assert both.mm_placeholders["video"][index].length == int(grid.prod()) // 4


@torch.inference_mode()
def test_logits_of_videos_beside_a_picture_are_those_of_the_reference(pair: Pair, tmp_path: Path) -> None:
    config, folder = pair.case.config, pair.oracle.folder
    whole = frames(11, height=40, width=70, seed=2)
    file = write_video(tmp_path / "a.mkv", whole, rate=4)  # of which two a second are taken
    other, image = frames(3), frames(1, seed=3)[0]
    taken = read_video(file, choose=lambda _: [0, 2, 5, 8], name="a")[0]
    videos = [of_the_reference(pair, each) for each in (other, taken)]
    picture = Qwen2VLImageProcessorPil.from_pretrained(folder)(images=[Image.fromarray(image)], return_tensors="pt")
    counts = [int(grid.prod()) // 4 for _, grid in videos]
    ids = [5, *[config["video_token_id"]] * counts[0], 7, 8]
    ids += [
        *[config["image_token_id"]] * (len(picture["pixel_values"]) // 4),
        9,
        *[config["video_token_id"]] * counts[1],
        6,
    ]
    tokens = torch.tensor([ids])
    media = {
        "pixel_values_videos": torch.cat([vectors for vectors, _ in videos]),
        "video_grid_thw": torch.stack([grid for _, grid in videos]),
        "mm_token_type_ids": (tokens == config["image_token_id"]).int()
        + 2 * (tokens == config["video_token_id"]).int(),
        **picture,
    }
    if pair.case.name.startswith("qwen2_5"):
        media["second_per_grid_ts"] = torch.tensor([TOGETHER / 24, TOGETHER / (4 / 11 * 4)])
    found = pair.model.logits(ids, images=[Image.fromarray(image)], videos=[other, file])
    assert rms_ratio(found, pair.oracle.logits(ids, **media)) <= TOLERANCE
    swapped = pair.model.logits(ids, images=[Image.fromarray(image)], videos=[other, taken[::-1]])
    assert rms_ratio(swapped, pair.oracle.logits(ids, **media)) > MATTERS


def test_a_video_says_how_many_seconds_lie_between_its_moments(pair: Pair, tmp_path: Path) -> None:
    file = write_video(tmp_path / "a.mp4", 20)  # ten a second, of which four are taken
    given = (frames(3), (frames(3), {"fps": 5.0}), file)
    found = [item.get_data()["video_seconds"].item() for item in prepared(pair, *given).mm_kwargs["video"]]
    assert found == pytest.approx([2 / 24, 2 / 5, 2 / 2])
    assert prepared(pair, file).mm_kwargs["video"][0].get_data()["video_grid"][0] == 2


def test_seconds_are_exact_where_pixels_are_not(pair: Pair) -> None:
    half = triptych.load(pair.oracle.folder, dtype=torch.bfloat16)
    data = prepared(pair, (frames(3), {"fps": 7.0}), model=half).mm_kwargs["video"][0].get_data()
    assert data["video"].dtype == torch.bfloat16
    assert data["video_seconds"].item() == pytest.approx(2 / 7, rel=1e-6)


def test_a_second_time_a_video_comes_from_the_cache_and_is_the_same(pair: Pair) -> None:
    first, again = (prepared(pair, frames(3)).mm_kwargs["video"][0] for _ in range(2))
    other = prepared(pair, (frames(3), {"fps": 5.0})).mm_kwargs["video"][0]
    assert again is first
    assert other.get_data()["video_seconds"] != first.get_data()["video_seconds"]


@settings(max_examples=60, deadline=None)
@given(
    total=st.integers(1, 4000),
    source=st.floats(1, 120),
    asked=st.floats(0.1, 30),
    number=st.integers(1, 900),
    bounds=st.sampled_from([(4, 768), (7, 60), (30, 31)]),
)
def test_frames_are_sampled_as_the_reference_does(
    total: int, source: float, asked: float, number: int, bounds: tuple[int, int]
) -> None:
    least, most = bounds
    own = SimpleNamespace(num_frames=None, fps=None, temporal_patch_size=2, min_frames=least, max_frames=most)
    sample = qwen_videos().Qwen2VLVideoProcessor.sample_frames
    part, video = Moments(together=2, fewest=4, most=768), VideoFacts(total, 9, 9, source)
    for words in ({"fps": asked}, {"num_frames": number}):
        try:
            wanted = sample(own, VideoMetadata(total_num_frames=total, fps=source), **words).tolist()
        except (ValueError, ZeroDivisionError):  # more than there are, or no whole moment
            wanted = [*range(total)]
        found = [*part(video, {**words, "min_frames": least, "max_frames": most})]
        assert found == wanted[: len(found)]
        assert len(wanted) - len(found) in (0, 1), "the reference's step may be a trifle short"


@given(total=st.integers(1, 3000), source=st.floats(1, 120), asked=st.floats(0.1, 30), number=st.integers(1, 900))
def test_frames_of_other_families_are_sampled_as_the_reference_does(
    total: int, source: float, asked: float, number: int
) -> None:
    from transformers.video_utils import default_sample_indices_fn

    video, metadata = VideoFacts(total, 9, 9, source), VideoMetadata(total_num_frames=total, fps=source)
    for words in ({"fps": asked}, {"num_frames": number}, {}):
        try:
            wanted = default_sample_indices_fn(metadata, **words).tolist()
        except ValueError:  # more than there are
            wanted = [*range(total)]
        assert [*Uniform()(video, words)] == wanted


@pytest.mark.parametrize(
    ("words", "frames_taken"),
    [
        ({}, [0, 5, 10, 15]),
        ({"num_frames": 2}, [0, 10]),
        ({"videos": {"fps": 5.0}}, [*range(0, 20, 2)]),
        ({"videos": {"do_sample_frames": False}}, [*range(20)]),
    ],
)
def test_settings_say_which_frames_are_taken(
    words: dict[str, Any], frames_taken: list[int], tmp_path: Path, pair: Pair
) -> None:
    file = write_video(tmp_path / "a.mp4", 20)
    model = triptych.load(pair.oracle.folder, multimodal=triptych.MultiModalSettings(processor=words))
    parsed = model.processor.info.get_data_parser().parse_mm_data({"video": file})
    assert parsed["video"].get(0).metadata["frames_indices"] == frames_taken  # type: ignore[attr-defined]


def test_the_checkpoints_word_goes_before_the_specs_and_the_settings_before_both(pair: Pair, tmp_path: Path) -> None:
    file, own = write_video(tmp_path / "a.mp4", 20), pair.oracle.folder / "video_preprocessor_config.json"
    kept = own.read_text()
    try:
        own.write_text(json.dumps(json.loads(kept) | {"num_frames": 6, "fps": None}))
        taken = [
            triptych.load(pair.oracle.folder, multimodal=triptych.MultiModalSettings(processor=words))
            .processor.info.get_data_parser()
            .parse_mm_data({"video": file})["video"]
            .get(0)
            .metadata["frames_indices"]
            for words in ({}, {"fps": 2})
        ]
    finally:
        own.write_text(kept)
    assert taken == [[0, 3, 6, 10, 13, 16], [0, 5, 10, 15]]


def test_what_says_nothing_clear_of_frames_is_told() -> None:
    video = VideoFacts(20, 9, 9, None)
    with pytest.raises(OptionError, match=r"videos: num_frames and fps say two things of one number; leave one"):
        Uniform()(video, {"num_frames": 2, "fps": 3.0})
    with pytest.raises(OptionError, match=r"videos.fps: is 0; a number above 0 is wanted"):
        Moments()(video, {"fps": 0})
    with pytest.raises(InputError, match="does not say how many frames are shown in a second; ask for num_frames"):
        Uniform(fps=2)(video, {})


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 900),
    height=st.integers(20, 900),
    width=st.integers(20, 900),
    tokens=st.sampled_from([None, 20_000]),
)
def test_frames_of_a_long_video_are_capped_as_the_reference_does(
    count: int, height: int, width: int, tokens: int | None
) -> None:
    module = qwen_videos()
    config = {
        "size": {"shortest_edge": 100352, "longest_edge": 602112},
        "cap_pixels_per_frame": True,
        "max_video_tokens": tokens,
    }
    size = triptych.assemble(None, CASES["qwen2_vl"].config).tokens["video"].grid
    assert size is not None
    sized: list[tuple[int, int]] = []
    module_resize = module.BaseVideoProcessor.resize
    module.BaseVideoProcessor.resize = lambda _, image, size, resample: sized.append((size.height, size.width))  # noqa: ARG005
    try:
        shape = torch.empty(1, count, 3, height, width, device="meta")
        reference = module.Qwen2VLVideoProcessor.__new__(module.Qwen2VLVideoProcessor)
        reference.max_video_tokens = tokens or reference.max_video_tokens
        reference.resize(shape, SimpleNamespace(**config["size"]), None, 28, 2, cap_pixels_per_frame=True)  # type: ignore[arg-type]
    finally:
        module.BaseVideoProcessor.resize = module_resize
    grid = size(VideoFacts(count, height, width), config)
    assert [(14 * h, 14 * w) for _, h, w in [[*grid]]] == sized


def test_frames_that_are_capped_are_prepared_so(pair: Pair) -> None:
    patch = pair.case.config["vision_config"]["patch_size"]
    capped = {"cap_pixels_per_frame": True, "max_video_tokens": 20}
    model = triptych.load(pair.oracle.folder, multimodal=triptych.MultiModalSettings(processor={"videos": capped}))
    video = frames(6, height=200, width=300)
    (item,) = prepared(pair, video, model=model).mm_kwargs["video"]
    vectors, grid = of_the_reference(pair, video, most=int(20 * 4 * patch**2 * 0.9) * TOGETHER // 6)
    assert torch.equal(item.get_data()["video"], vectors)
    assert grid.tolist() != of_the_reference(pair, video)[1].tolist()


@given(count=st.integers(1, 7), together=st.integers(1, 4))
def test_frames_have_their_places_in_a_moment_and_the_last_fills_it_up(count: int, together: int) -> None:
    pixels = torch.randn(count, 5, 3, 2)  # [frames, patches, channels, numbers]
    shown = pixels[:, :, :, None].expand(-1, -1, -1, together, -1)
    found = torch.stack([*moments((frame.flatten(1) for frame in shown), together)])
    whole = pixels[[min(at, count - 1) for at in range(-(-count // together) * together)]]
    wanted = whole.unflatten(0, (-1, together)).permute(0, 2, 3, 1, 4).flatten(2)
    assert torch.equal(found, wanted)


def test_a_family_whose_frames_have_texts_between_them_refuses_a_video(tmp_path: Path) -> None:
    pair = Pair.of(CASES["qwen2_vl"], tmp_path)
    rule = pair.model.processor.info.ctx.tokens["video"]
    pair.model.processor.info.ctx.tokens["video"] = replace(rule, together=0)
    with pytest.raises(InputError, match="makes vectors of patches, and nothing says how those of several frames go"):
        prepared(pair, frames(2))


def test_rows_of_a_video_file_that_change_least_are_left_out(pair: Pair) -> None:
    model = triptych.load(
        pair.oracle.folder, dtype=torch.float32, multimodal=triptych.MultiModalSettings(video_pruning=0.5)
    )
    still = np.repeat(frames(1), 6, 0)
    whole, pruned = prepared(pair, still), prepared(pair, still, model=model)
    (place,), (all_,) = pruned.mm_placeholders["video"], whole.mm_placeholders["video"]
    assert place.length == all_.length // 2
    assert torch.equal(
        pruned.mm_kwargs["video"][0].get_data()["video"], whole.mm_kwargs["video"][0].get_data()["video"]
    )
    ids = [5, pair.case.config["video_token_id"], 6]
    assert model.logits(ids, videos=[still]).shape[0] == 2 + place.length
