"""Videos in files: the frames that are asked for, how they were taken, and what is refused before it is decoded."""

from __future__ import annotations

import sys
import tracemalloc
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.inputs.media.video_maker import SHADE, shades, write_video
from triptych import InputError
from triptych.inputs.media import MultiModalDataParser, VideoProcessorItems
from triptych.inputs.media import video_bounds as bounds
from triptych.inputs.media import video_files as files
from triptych.spec.item_facts import VideoFacts


def parse(data: object, **options: Any) -> VideoProcessorItems:
    parsed = MultiModalDataParser(**options).parse_mm_data({"video": data})
    return parsed.get_items("video", VideoProcessorItems)


def seen(items: VideoProcessorItems, index: int = 0) -> list[int]:
    """Which frames of the maker's these are, by their shades."""
    return [round(float(frame.mean()) / SHADE) for frame in items.given(index).frames]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "clip.mp4")


def test_a_file_its_bytes_and_a_list_of_it_are_its_frames_with_how_they_were_taken(clip: Path) -> None:
    for data in (clip, str(clip), clip.read_bytes(), [clip], [clip.read_bytes()]):
        items = parse(data, video_needs_metadata=True)
        assert (items.get_count(), seen(items), tuple(items.get_frame_size(0))) == (1, [*range(20)], (64, 48))
        times = [number / 10 for number in range(20)]
        assert items.given(0).metadata == {
            **{"total_num_frames": 20, "fps": 10.0, "duration": 2.0, "height": 48, "width": 64},
            **{"frames_indices": [*range(20)], "timestamps": pytest.approx(times)},
        }


@settings(max_examples=20, deadline=None)
@given(indices=st.lists(st.integers(0, 19), min_size=1, max_size=20).map(sorted))
def test_the_frames_that_are_chosen_are_those_that_come(clip: Path, indices: list[int]) -> None:
    asked: list[VideoFacts] = []
    items = parse(clip, choose_frames=lambda facts: asked.append(facts) or indices)
    assert asked == [VideoFacts(20, 48, 64, 10.0)]
    assert seen(items) == indices
    metadata = items.given(0).metadata
    assert metadata is not None
    assert (metadata["frames_indices"], metadata["total_num_frames"]) == (indices, 20)
    assert metadata["timestamps"] == pytest.approx([index / 10 for index in indices])


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.avi", "a.gif"])
def test_files_of_every_kind_give_the_same_frames(tmp_path: Path, name: str) -> None:
    items = parse(write_video(tmp_path / name, 12))
    metadata = items.given(0).metadata
    assert metadata is not None
    assert (seen(items), metadata["total_num_frames"], metadata["fps"]) == ([*range(12)], 12, 10.0)


def test_pixels_come_as_they_were_written_in_red_green_and_blue(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 40, 30, 3), dtype=np.uint8)
    assert np.array_equal(parse(write_video(tmp_path / "a.mkv", frames)).given(0).frames, frames)


@pytest.mark.parametrize("turned", [0, 90, 180, -90])
def test_a_video_is_upright(tmp_path: Path, turned: int) -> None:
    frames = np.full((2, 32, 48, 3), 200, np.uint8)
    frames[:, :16, :16] = 0  # the upper left corner, before it is turned to the left
    items = parse(write_video(tmp_path / "a.mov", frames, rotation=turned))  # a mov of frames that lose nothing
    assert np.array_equal(items.given(0).frames, np.rot90(frames, turned // 90, axes=(1, 2)))
    assert items.get_frame_size(0) == ((48, 32) if turned in (0, 180) else (32, 48))


def test_frames_that_last_differently_long_keep_their_own_times(tmp_path: Path) -> None:
    times = [0, 1, 2, 10, 11, 30]
    items = parse(write_video(tmp_path / "a.mkv", 6, times=times), choose_frames=lambda _: [1, 3, 5])
    assert seen(items) == [1, 3, 5]
    assert items.given(0).metadata["timestamps"] == pytest.approx([0.1, 1.0, 3.0])  # type: ignore[index]


def test_files_of_pictures_in_a_list_are_frames_and_other_files_are_videos(clip: Path, tmp_path: Path) -> None:
    pictures = [tmp_path / f"{number}.png" for number in range(3)]
    for path, shade in zip(pictures, shades(3), strict=True):
        Image.new("RGB", (64, 48), (shade,) * 3).save(path)
    assert seen(parse([str(path) for path in pictures])) == [0, 1, 2]
    both = parse([clip, pictures])
    assert (both.get_count(), seen(both, 0), seen(both, 1)) == (2, [*range(20)], [0, 1, 2])


def test_only_the_frames_that_are_kept_take_memory(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 40, size=(240, 320))
    tracemalloc.start()
    items = parse(path, choose_frames=lambda _: [0, 39])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert items.given(0).frames.nbytes == 2 * 240 * 320 * 3
    assert peak < 4 * 240 * 320 * 3 + 2**20


def sound(path: Path) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(1600))
    return path


def test_what_is_no_video_is_told(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "text.mp4").write_bytes(b"no video" * 40)
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "list.m3u8").write_text(f"#EXTM3U\n#EXTINF:2,\n{clip}\n#EXT-X-ENDLIST\n")
    (tmp_path / "list.txt").write_text(f"ffconcat version 1.0\nfile {clip}\n")
    Image.new("RGB", (64, 48)).save(tmp_path / "picture.png")
    for name in ("text.mp4", "list.m3u8", "list.txt", "picture.png"):
        size = f"{(tmp_path / name).stat().st_size:,}"
        with pytest.raises(InputError) as caught:
            parse(tmp_path / name)
        assert str(caught.value) == (
            f"video[0] ({tmp_path / name}): is no video that can be read: its {size} bytes begin like no mp4, mov, "
            "mkv, webm, avi, ts, mpeg, flv, wmv, ogg, ivf or gif, or have lost what tells how to read them; "
            "ffmpeg -i FILE new.mp4 writes anew what can be read"
        )
    with pytest.raises(InputError, match=r"empty.mp4\): is no video that can be read: it is empty; give another$"):
        parse(tmp_path / "empty.mp4")
    with pytest.raises(InputError, match=r"^video\[0\] \(.*sound.mp4\): (holds no video|is no video)"):
        parse(sound(tmp_path / "sound.mp4"))
    with pytest.raises(InputError, match=r"^video\[0\] \(.*none.mp4\): there is no such file$"):
        parse(tmp_path / "none.mp4")
    with pytest.raises(InputError, match=r"^video\[0\]: is no video that can be read"):
        parse(b"GIF89a")
    with pytest.raises(InputError, match=r"^video\[0\]: is a file with metadata, and a file brings its own"):
        parse((clip, {"fps": 2.0}))


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.mp4", r"\d of the 20 frames that it announces"),
        ("a.mkv", r"1\.\d of the 2\.0 seconds that it announces"),
        ("late.mp4", None),
    ],
)
def test_a_file_that_is_cut_off_is_told_with_what_is_left(tmp_path: Path, name: str, found: str | None) -> None:
    path = write_video(tmp_path / name, front=name == "a.mp4")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    told = rf"ends too soon: it has {found}; ffmpeg -i FILE new.mp4 writes anew what can be read$"
    with pytest.raises(InputError, match=told if found else r"(holds no video|is no video that can be read)"):
        parse(path)


def test_a_frame_of_which_a_part_is_missing_is_none_that_a_file_has(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", front=True)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError, match=r"ends too soon: it has 19 of the 20 frames"):
        parse(path)


def test_a_video_whose_frames_are_no_longer_those_of_its_coding_is_told(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4")
    whole = bytearray(path.read_bytes())
    whole[100:400] = b"\xff" * 300
    path.write_bytes(whole)
    told = r"^video\[0\] \(.*a.mp4\): is damaged, or coded in a way that the package av does not know; ffmpeg -i FILE"
    with pytest.raises(InputError, match=told):
        parse(path)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError("av"), r": takes more memory to decode than there is; give fewer or smaller frames$"),
        (PermissionError(13, "av"), r": may not be opened; give who runs this the right to read it$"),
        (AttributeError("av"), r": is damaged, or coded in a way that the package av does not know; ffmpeg"),
    ],
)
def test_what_else_keeps_a_video_from_being_read_is_told_in_words(
    clip: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(files, "_ends", fails)
    with pytest.raises(InputError, match=told):
        parse(clip)


def test_a_file_with_damaged_frames_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "a.mp4")
    known = VideoFacts(25, 48, 64, 10.0)  # as if the file had frames that no decoder gives
    monkeypatch.setattr(files, "_count", lambda *_: known)
    with pytest.raises(InputError, match=r"is damaged: frame 20 cannot be read, of 25 that the file has; ffmpeg"):
        parse(path)


def test_frames_pixels_and_seconds_are_bounded_before_any_frame_is_decoded(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_decode", lambda *_, **__: pytest.fail("decoded"))
    fewer = "; of a file fewer are taken where num_frames or fps is asked for$"
    for of, name, value, told in (
        (bounds, "MAX_FRAMES", 19, f"has 20 frames; at most 19 are read{fewer}"),
        (bounds, "MAX_VIDEO_PIXELS", 61_000, f"has 61,440 pixels in all; at most 61,000 are read{fewer}"),
        (files, "MAX_SECONDS", 1, r"lasts 2 seconds; at most 1 are read$"),
        (files, "MAX_COUNTED", 19, r"has more than 19 frames, which is the most that is read$"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(of, name, value)
            with pytest.raises(InputError, match=told):
                parse(clip)


def test_a_long_video_of_which_few_frames_are_taken_is_read(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_FRAMES", 3)
    assert seen(parse(clip, choose_frames=lambda _: [0, 9, 18])) == [0, 9, 18]


def test_a_missing_package_is_named_with_its_extra(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    needed = "is a file of video, which needs the package av; pip install 'triptych[video]', or give its frames"
    with pytest.raises(InputError) as caught:
        parse(clip)
    assert str(caught.value) == f"video[0] ({clip}): {needed}"
