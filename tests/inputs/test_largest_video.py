"""The largest video that a prompt holds has as many rows as are counted, and none has more."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import triptych
from tests.parity.grids import Pair, all_cases
from tests.parity.timed_videos import pair_of
from triptych.assembly import Assembled, assemble
from triptych.check.token_counts import check_count
from triptych.errors import InputError
from triptych.inputs.processing import get_dummy_inputs, get_max_tokens_per_item
from triptych.inputs.processing.largest import largest_video
from triptych.parts.sampling import FirstToLast, Moments, Paces, Uniform
from triptych.spec.catalog import load_named, sample_config
from triptych.spec.item_facts import VideoFacts

CASES = {case.name: case for case in all_cases()}
SAMPLINGS = [Uniform(num_frames=8), Moments(together=2, fps=2.0, fewest=4), Paces(fps=1.0), FirstToLast(fps=2.0)]
PIXELS = {"qwen2_vl": 28**2, "qwen3_vl": 32**2}  # of a token in one frame
CAPS = {"qwen2_vl": 13.0, "qwen3_vl": 0.25}  # of a video, and of a frame, of as many tokens as there may be by the size


@cache
def assembled(name: str) -> Assembled:
    tree = load_named(name)[1]
    return assemble(tree, sample_config(tree), name=name)


def limits(name: str, most: int, *, capped: bool) -> dict[str, Any]:
    """Those of a processor that lets a frame, or a whole video, have so many tokens."""
    unit = PIXELS[name]
    size = {"shortest_edge": max(1, most // 8) * unit, "longest_edge": most * unit}
    return {"size": size, "cap_pixels_per_frame": capped, "max_video_tokens": int(CAPS[name] * most)}


@pytest.mark.parametrize("name", [*PIXELS])
@settings(max_examples=40, deadline=None)
@example(most=800, bound=2, capped=False, room=None, video=(2, 640, 640))  # as many as fit, in a square
@example(most=630, bound=3, capped=False, room=None, video=(3, 300, 630))  # three frames count as four, and are three
@given(
    most=st.integers(4, 900),
    bound=st.integers(2, 24),
    capped=st.booleans(),
    room=st.sampled_from([None, 100, 1000]),
    video=st.tuples(st.integers(1, 24), st.integers(8, 3000), st.integers(8, 3000)),
)
@torch.no_grad()
def test_no_video_of_as_many_frames_takes_more(
    name: str, most: int, bound: int, *, capped: bool, room: int | None, video: tuple[int, int, int]
) -> None:
    rule, processor = assembled(name).tokens["video"], limits(name, most, capped=capped)
    largest = largest_video(rule, processor, bound=bound, room=room)
    assert isinstance(largest, VideoFacts)
    found = rule.count(largest, processor)
    assert largest.frames <= bound
    try:
        taken = rule.count(VideoFacts(min(video[0], bound), *video[1:]), processor)
    except InputError:  # too long and thin, or no whole moment
        return
    if room is None:
        assert taken <= found
    elif found > room:
        assert largest.frames == 2, "each moment by itself takes more"


@pytest.mark.parametrize("name", ["qwen3_vl", "llava_onevision"])
def test_the_largest_video_has_as_many_rows_as_are_counted(name: str) -> None:
    found = assembled(name)
    rule = found.tokens["video"]
    for bound, room in ((8, None), (40, 900), (5, None)):
        largest = largest_video(rule, {}, bound=bound, room=room)
        check_count(found, "video", largest)
        assert room is None or rule.count(largest, {}) <= room or largest.frames <= 2


@pytest.mark.parametrize("part", SAMPLINGS, ids=lambda part: type(part).__name__)
@settings(max_examples=40)
@given(frames=st.integers(2, 3000), fps=st.floats(1, 60), words=st.sampled_from([{}, {"num_frames": 6}, {"fps": 3.0}]))
def test_no_more_frames_are_taken_than_the_bound(part: Uniform, frames: int, fps: float, words: dict[str, Any]) -> None:
    bound = part.bound(words)
    taken = [*part(VideoFacts(frames, 9, 9, fps), words)]
    assert bound is None or len(taken) <= bound
    most = [*part(VideoFacts(100_000, 9, 9, 1.0), words)]
    assert bound is None or len(most) == bound, "and as many of one that is long"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return pair_of(CASES["qwen3_vl"], tmp_path_factory.mktemp("checkpoint"))


@pytest.mark.parametrize("words", [{"num_frames": 10}, {"fps": 2.0, "max_frames": 9}])
@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_dummy_videos_take_what_is_set_aside_for_them(pair: Pair, words: dict[str, Any], rate: float) -> None:
    given = triptych.MultiModalSettings(processor={"videos": words}, video_pruning=rate)
    processor = triptych.load(pair.oracle.folder, multimodal=given).processor
    tokens = get_max_tokens_per_item(processor, 512, {"video": 1})["video"]
    dummy = get_dummy_inputs(processor, 512, {"video": 1})
    (place,) = dummy.mm_placeholders["video"]
    assert place.get_num_embeds() == tokens
    assert len(dummy.mm_kwargs["video"][0].get_data()["video"]) > 8 * 4, "more than a moment"
    assert processor.info.largest("video", room=512).frames == 9, "of ten the last moment is no longer"


def test_where_every_frame_is_taken_a_prompt_bounds_them(pair: Pair) -> None:
    given = triptych.MultiModalSettings(processor={"videos": {"do_sample_frames": False}})
    processor = triptych.load(pair.oracle.folder, multimodal=given).processor
    few, many = (get_max_tokens_per_item(processor, room, {"video": 1})["video"] for room in (100, 200))
    assert 60 < few <= 100 < many <= 200
