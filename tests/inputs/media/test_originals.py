"""Files and pixels are named before they are read, and read again only where someone asks for them."""

from __future__ import annotations

import os
import threading
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from tests.inputs.media.video_maker import write_video
from triptych import InputError
from triptych.inputs.hashing import hash_item
from triptych.inputs.media import MultiModalDataParser, originals
from triptych.inputs.media.originals import Content, Original, OriginalsRead

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def item(seen: OriginalsRead, content: Content, value: object = "value", *, modality: str = "image") -> Any:
    """What is read of the content, and beside it how often it was."""
    reads: list[object] = []
    found = seen.item(content, lambda: reads.append(value) or value, modality=modality, name="image[0]")
    return found, reads


def written(folder: Path, content: bytes = b"abc") -> Path:
    (folder / "a").write_bytes(content)
    return folder / "a"


def test_what_was_read_once_is_read_again_only_when_it_is_asked_for(tmp_path: Path) -> None:
    for content in (written(tmp_path), b"abcd", Image.fromarray(PIXELS), PIXELS):
        seen = OriginalsRead()
        first, reads = item(seen, content)
        assert (first.value, len(reads)) == ("value", 1)
        again, reads = item(seen, content)
        assert (reads, again.name) == ([], first.name)
        assert (again.value, again.value, len(reads)) == ("value", "value", 1)


def test_a_file_and_its_bytes_have_one_name_and_anything_else_another(tmp_path: Path) -> None:
    seen, image = OriginalsRead(), Image.fromarray(PIXELS)
    other = PIXELS.copy()
    other[19, 29, 2] ^= 1
    file = item(seen, written(tmp_path))[0].name
    assert item(seen, b"abc")[0].name == file
    assert item(seen, image)[0].name == item(seen, image.copy())[0].name
    contents: list[Content] = [b"abd", image, PIXELS, other, Image.fromarray(other), PIXELS[:, :, :1], PIXELS.T]
    assert len({file, *(item(seen, each)[0].name for each in contents)}) == 8


def test_bytes_that_are_the_frames_of_pixels_are_no_pixels() -> None:
    framed = b"".join(map(bytes, originals.frames_of(Image.fromarray(PIXELS))))
    assert item(OriginalsRead(), framed)[0].name != item(OriginalsRead(), Image.fromarray(PIXELS))[0].name


def test_what_one_modality_has_read_another_reads_itself() -> None:
    seen = OriginalsRead()
    item(seen, b"abc", modality="image")
    assert len(item(seen, b"abc", modality="video")[1]) == 1


def test_what_cannot_be_read_is_read_each_time_and_no_name_of_it_is_kept(tmp_path: Path) -> None:
    def fails() -> str:
        raise InputError("is none", path="image[0]")

    seen = OriginalsRead()
    for content in [written(tmp_path), b"abc", tmp_path / "none", tmp_path] * 2:
        with pytest.raises(InputError, match="is none"):
            seen.item(content, fails, modality="image", name="image[0]")


def test_a_file_that_is_too_large_to_be_named_is_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(originals, "MOST_BYTES", 2)
    seen = OriginalsRead()
    for _ in range(2):
        found, reads = item(seen, written(tmp_path))
        assert (found, len(reads)) == ("value", 1)


def test_the_names_of_what_was_read_longest_ago_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(originals, "MOST_NAMES", 2)
    seen = OriginalsRead()
    counts = [len(item(seen, content)[1]) for content in (b"a", b"b", b"a", b"c", b"a", b"b")]
    assert counts == [1, 1, 0, 1, 0, 1]


def test_what_changes_after_it_was_named_is_refused_and_its_name_not_kept(tmp_path: Path) -> None:
    seen, file = OriginalsRead(), written(tmp_path)
    item(seen, file)
    known, _ = item(seen, file)
    file.write_bytes(b"abcd")
    with pytest.raises(InputError, match=r"^image\[0\]: changes while it is read; give it when it is complete$"):
        _ = known.value
    pixels = PIXELS.copy()
    item(seen, pixels)
    known, _ = item(seen, pixels)
    pixels[0, 0, 0] ^= 1
    with pytest.raises(InputError, match=r"^image\[0\]: changes while it is read"):
        _ = known.value
    with pytest.raises(InputError, match=r"^image\[0\]: changes while it is read"):
        seen.item(file, lambda: file.write_bytes(b"abcde"), modality="image", name="image[0]")
    file.write_bytes(b"abcd")
    assert len(item(seen, file)[1]) == 1


def test_threads_share_what_was_read() -> None:
    seen, failed = OriginalsRead(), list[BaseException]()

    def work(start: int) -> None:
        try:
            for number in range(300):
                assert item(seen, str(start + number).encode())[0].value == "value"
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


@pytest.fixture
def media(tmp_path: Path) -> dict[str, Path]:
    """A file of each modality."""
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    soundfile.write(tmp_path / "a.wav", np.linspace(-0.5, 0.5, 800), 16_000)
    return {
        "image": tmp_path / "a.png",
        "audio": tmp_path / "a.wav",
        "video": write_video(tmp_path / "a.mp4", 4),
    }


def test_a_file_of_each_modality_is_decoded_once_and_given_again(
    media: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    parser = MultiModalDataParser(target_sr=16_000)
    first = parser.parse_mm_data(media)
    wanted = {m: [*first[m]] for m in media}
    with monkeypatch.context() as patch:
        for place in ("images.open_image", "audio.read_sound", "videos.read_video"):
            patch.setattr(f"triptych.inputs.media.{place}", lambda *_, **__: pytest.fail("decoded"))
        again = parser.parse_mm_data({m: str(file) for m, file in media.items()})
        assert {m: len(again[m]) for m in media} == dict.fromkeys(media, 1)
        assert not any(again[m].is_absent(0) for m in media)
        names = [(first[m].content(0), again[m].content(0)) for m in media]
        assert all(one.name == other.name for one, other in names)  # type: ignore[attr-defined]
    again = parser.parse_mm_data(media)
    assert np.array_equal(np.asarray(again["image"].get(0)), np.asarray(wanted["image"][0]))
    assert np.array_equal(again["audio"].get(0), wanted["audio"][0])  # type: ignore[arg-type]
    assert np.array_equal(again["video"].get(0).frames, wanted["video"][0].frames)  # type: ignore[attr-defined, union-attr]


def test_bytes_and_data_urls_are_the_files_that_they_are_of(media: dict[str, Path]) -> None:
    parser = MultiModalDataParser(target_sr=16_000)
    wanted = parser.parse_mm_data(media)
    plain = {m: file.read_bytes() for m, file in media.items()}
    urls = {m: f"data:{m}/x;base64,{b64encode(content).decode()}" for m, content in plain.items()}
    for form in (plain, urls, {m: [content] for m, content in plain.items()}):
        found = parser.parse_mm_data(form)
        for m in media:
            assert found[m].content(0).name == wanted[m].content(0).name  # type: ignore[attr-defined]
            pixels = [getattr(each[m].get(0), "frames", each[m].get(0)) for each in (found, wanted)]
            assert np.array_equal(*map(np.asarray, pixels))


@pytest.mark.parametrize("modality", ["image", "audio", "video"])
def test_what_bytes_and_urls_do_not_hold_is_told_without_them(modality: str) -> None:
    parser, url = MultiModalDataParser(target_sr=16_000), f"data:x/y;base64,{b64encode(bytes(300)).decode()}"
    for given in (bytes(300), url, b""):
        with pytest.raises(InputError, match=rf"^{modality}\[0\]: (cannot be read as|is no) .*") as caught:
            parser.parse_mm_data({modality: [given]})
        assert "AAAA" not in str(caught.value)
        assert "object at" not in str(caught.value)
    for given in ("data:x/y;base64,AA=A=", "data:x/y,AAAA", "data:" + "x" * 500, "data:x;base64,\u00fc"):
        told = rf"^{modality}\[0\]: is 'data:.*; a data: URL is data:image/png;base64,"
        with pytest.raises(InputError, match=told) as caught:
            parser.parse_mm_data({modality: [given]})
        assert len(str(caught.value)) < 300


def test_an_opened_picture_that_is_cut_off_or_a_bomb_is_refused_in_the_same_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(PIXELS.repeat(20, 0)).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    parser = MultiModalDataParser()
    for _ in range(2):
        with (
            Image.open(tmp_path / "cut.png") as cut,
            pytest.raises(InputError, match=r"^image\[0\]: cannot be read as an image: .*truncated"),
        ):
            parser.parse_mm_data({"image": cut})
        with pytest.raises(InputError, match=r"^image\[0\] \(.*cut.png\): cannot be read as an image: .*truncated"):
            parser.parse_mm_data({"image": tmp_path / "cut.png"})
    monkeypatch.setattr("triptych.inputs.images.MAX_PIXELS", 100)
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", lambda _: pytest.fail("decoded"))
    told = r"^image\[0\]: is 30 x 400, that is 12,000 pixels; at most 100 are read"
    with Image.open(tmp_path / "a.png") as opened, pytest.raises(InputError, match=told):
        parser.parse_mm_data({"image": opened})


def test_a_turned_picture_is_upright_each_time(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=exif)
    parser = MultiModalDataParser()
    with Image.open(tmp_path / "a.png") as opened:
        for given in [tmp_path / "a.png", opened] * 3:
            (found,) = parser.parse_mm_data({"image": given})["image"]
            assert np.array_equal(np.asarray(found), np.rot90(PIXELS, -1))
        both = parser.parse_mm_data({"image": [opened, Image.fromarray(PIXELS)]})["image"]
    names = {hash_item(both.content(i), model="m", modality="image", keywords={}) for i in range(2)}
    assert len(names) == 2, "turned or not, one name is given to both"


def test_a_picture_that_was_read_is_no_video_for_that(media: dict[str, Path]) -> None:
    parser = MultiModalDataParser()
    parser.parse_mm_data({"image": media["image"]})
    with pytest.raises(InputError, match=r"^video\[0\]: is no video that can be read"):
        parser.parse_mm_data({"video": media["image"].read_bytes()})


def test_a_file_that_no_one_may_read_is_told_by_its_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path)
    monkeypatch.setattr(originals, "digest_of_file", lambda _: os.stat(tmp_path / "gone"))
    found, reads = item(OriginalsRead(), file)
    assert (found, len(reads), isinstance(found, Original)) == ("value", 1, False)
