"""Videos: frames in every form give one array, with bounds on their number and size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from triptych import InputError
from triptych.inputs.images import open_image
from triptych.inputs.media import MultiModalDataParser, VideoProcessorItems
from triptych.inputs.media import video_bounds as bounds


def parse(data: object, *, needs_metadata: bool = False) -> VideoProcessorItems:
    parser = MultiModalDataParser(video_needs_metadata=needs_metadata)
    return parser.parse_mm_data({"video": data}).get_items("video", VideoProcessorItems)


def pixels(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


FRAMES = pixels(5, 8, 6, 3)


@pytest.mark.parametrize(
    "form",
    [
        FRAMES,
        FRAMES.transpose(0, 3, 1, 2),
        torch.from_numpy(FRAMES),
        [*FRAMES],
        [Image.fromarray(frame) for frame in FRAMES],
        tuple(torch.from_numpy(FRAMES)),
        (FRAMES, {"fps": 2.0}),
        ([*FRAMES], {}),
    ],
    ids=["array", "channels first", "tensor", "arrays", "images", "tensors", "metadata", "list, metadata"],
)
def test_every_form_of_one_video_is_that_video(form: Any) -> None:
    for data in (form, [form]):
        items = parse(data)
        assert items.get_count() == 1
        assert np.array_equal(items.given(0).frames, FRAMES)
        assert (items.get_num_frames(0), items.get_frame_size(0)) == (5, (6, 8))


def test_a_list_has_any_of_the_forms() -> None:
    items = parse([FRAMES, [*FRAMES[:2]], (FRAMES[:3], {"fps": 1.0})])
    assert [items.get_num_frames(i) for i in range(3)] == [5, 2, 3]
    assert [len(frames) for frames in items.get_processor_data()["videos"]] == [5, 2, 3]
    assert items.get_passthrough_data() == {}


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_an_array_has_the_colours_that_its_frames_have_as_images(channels: int) -> None:
    frames = pixels(2, 5, 6, channels)
    wanted = [np.asarray(open_image(frame, name="frame")) for frame in frames]
    for form in (frames, [*frames]):
        assert np.array_equal(parse(form).given(0).frames, wanted)


def test_metadata_go_to_the_extractor_where_the_model_needs_them() -> None:
    data = (FRAMES, {"fps": 2.0})
    assert "video_metadata" not in parse(data).get_processor_data()
    assert parse(data).given(0).metadata == {"fps": 2.0}
    assert parse(data, needs_metadata=True).get_processor_data()["video_metadata"] == [{"fps": 2.0}]


def test_a_model_that_needs_metadata_says_so() -> None:
    with pytest.raises(InputError) as caught:
        parse([FRAMES, (FRAMES, {"fps": 2.0}), [*FRAMES]], needs_metadata=True)
    message = "has no metadata, and this model needs them; give (frames, metadata)"
    assert str(caught.value).splitlines() == [f"video[0]: {message}", f"video[2]: {message}"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, r"^video: is embeds, which the settings do not let in"),
        (3, r"^video\[0\]: is int; a file, a list of frames, an array of bytes \[frames, height, width, channels\] or"),
        ([[]], r"^video\[0\]: has no frames"),
        (np.zeros((0, 4, 4, 3), np.uint8), r"^video\[0\]: has no frames"),
        (np.zeros((2, 4, 4, 3), np.float32), r"^video\[0\]: is float32 \[2, 4, 4, 3\]; bytes"),
        (np.zeros((2, 5, 5, 6), np.uint8), r"^video\[0\]: is \[2, 5, 5, 6\]; 1, 3 or 4 channels"),
        (np.zeros((2, 0, 4, 3), np.uint8), r"^video\[0\]: is 4 x 0 and has no pixels"),
        (np.zeros((1, 2, 4, 4, 3), np.uint8), r"^video\[0\]: is uint8 \[1, 2, 4, 4, 3\]; bytes \(uint8\) \[frames,"),
        (np.zeros((4, 4, 3), np.uint8), r"^video\[0\]: is uint8 \[4, 4, 3\]; bytes \(uint8\) \[frames,"),
        ([FRAMES[0], 7], r"^video\[0\]: frame 1: is int; a file"),
        (
            [FRAMES[0], FRAMES[1, :4]],
            r"^video\[0\]: frame 1 is 6 x 4, and frame 0 is 6 x 8; frames of one size are needed",
        ),
    ],
)
def test_what_is_no_video_is_refused(data: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(data)


def test_frames_and_pixels_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_FRAMES", 5)
    monkeypatch.setattr(bounds, "MAX_VIDEO_PIXELS", 5 * 8 * 6)
    for form in (FRAMES, [*FRAMES]):
        assert parse(form).get_num_frames(0) == 5
    for data in (pixels(6, 8, 6, 3), [*pixels(6, 8, 6, 3)]):
        with pytest.raises(InputError, match=r"^video\[0\]: has 6 frames; at most 5 are read$"):
            parse(data)
    for data in (pixels(5, 8, 7, 3), [*pixels(5, 8, 7, 3)]):
        with pytest.raises(InputError, match=r"^video\[0\]: has 280 pixels in all; at most 240 are read$"):
            parse(data)


def test_a_huge_video_is_refused_before_memory_is_spent() -> None:
    frame = Image.new("1", (8_000, 8_000))
    with pytest.raises(InputError, match=r"has 640,000,000,000 pixels in all; at most 1,073,741,824 are read"):
        parse([frame] * 10_000)
