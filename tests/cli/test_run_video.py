"""`triptych run --video`: files beside pictures, and what is said of a file or a model that is not for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import triptych
from tests.cli.command import Capture, ran
from tests.inputs.media.video_maker import write_video
from tests.parity.multimodal import Pair, all_cases, picture
from triptych import InputError
from triptych.inputs.media.video_files import read_video

TEMPLATE = """{% for message in messages %}{% for part in message.content %}\
{{ part.text if part.type == 'text' else '<' ~ part.type ~ '>' }} {% endfor %}{% endfor %}"""
WITHOUT_VIDEOS = """{% for message in messages %}{% for part in message.content %}{% if part.type == 'text' %}\
{{ part.text }}{% elif part.type == 'image' %}<image>{% endif %}{% endfor %}{% endfor %}"""
TEXT = "{% for message in messages %}{{ '' ~ message.content }}{% endfor %}"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    case = next(case for case in all_cases() if case.name.startswith("onevision"))
    return Pair.of(case, tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, str]:
    """Two videos and a picture."""
    folder = tmp_path_factory.mktemp("media")
    one, other = write_video(folder / "a.mp4", 3), write_video(folder / "b.mkv", 2, size=(30, 90))
    picture(np.random.default_rng(0), (40, 70)).save(folder / "c.png")
    return str(one), str(other), str(folder / "c.png")


def answered(capsys: Capture, *words: str) -> dict[str, Any]:
    status, out, err = ran(capsys, "run", *words, "--json", "--max-tokens", "4", "--ignore-eos")
    assert status == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def test_files_of_video_and_pictures_go_with_the_prompt_in_the_order_of_each(
    capsys: Capture, pair: Pair, media: tuple[str, str, str]
) -> None:
    one, other, image = media
    words = ["--video", one, "--image", image, "--video", other, "--raw", "--dtype", "float32"]
    found = answered(capsys, str(pair.oracle.folder), "w5 <video> w6 <image> <video> w7", *words)
    frames = [read_video(path, name="video")[0] for path in (one, other)]
    asked: dict[str, Any] = {"raw": True, "max_tokens": 4, "ignore_eos": True}
    (wanted,) = pair.model.generate("w5 <video> w6 <image> <video> w7", [image], videos=frames, **asked)
    (turned,) = pair.model.generate("w5 <video> w6 <image> <video> w7", [image], videos=frames[::-1], **asked)
    assert found["token_ids"] == [*wanted.token_ids]
    assert turned.token_ids != wanted.token_ids


def test_without_places_in_the_text_they_stand_before_it_pictures_first(
    pair: Pair, media: tuple[str, str, str]
) -> None:
    one, other, image = media
    model = pair.model
    wanted = model.requests("<image><video><video>\nw5 w6", [image], videos=[one, other], raw=True)
    assert model.requests("w5 w6", [image], videos=[one, other], raw=True)[0].prompt.token_ids == (
        wanted[0].prompt.token_ids
    )
    some = model.requests("w5 <image> w6", [image], videos=one, raw=True)
    assert (
        some[0].prompt.token_ids
        == model.requests("<video>\nw5 <image> w6", [image], videos=one, raw=True)[0].prompt.token_ids
    )


def rendered(pair: Pair, template: str, text: str, **items: Any) -> tuple[int, ...]:
    """The token ids of a prompt under a chat template."""
    (pair.oracle.folder / "chat_template.jinja").write_text(template)
    try:
        (asked,) = triptych.load(pair.oracle.folder).requests(text, **items)
    finally:
        (pair.oracle.folder / "chat_template.jinja").unlink()
    return asked.prompt.token_ids


@pytest.mark.parametrize(
    ("template", "text", "written"),
    [
        (TEMPLATE, "w5 w6", "<image> <video> <video> w5 w6"),
        (TEMPLATE, "w5 <image> w6", "<video> <video> w5 <image> w6"),
        (WITHOUT_VIDEOS, "w5 w6", "<image><video><video>\nw5 w6"),
        (WITHOUT_VIDEOS, "w5 <video> <image> <video>", "w5 <video> <image> <video>"),
        (TEXT, "w5 w6", "<image><video><video>\nw5 w6"),
    ],
)
def test_a_chat_template_gets_its_items_in_the_first_form_that_shows_all_of_them(
    pair: Pair, media: tuple[str, str, str], template: str, text: str, written: str
) -> None:
    one, other, image = media
    found = rendered(pair, template, text, images=[image], videos=[one, other])
    (wanted,) = pair.model.requests(written, [image], videos=[one, other], raw=True)
    assert found == wanted.prompt.token_ids[1:]  # a template writes what it begins with


def test_several_prompts_take_videos_each(pair: Pair, media: tuple[str, str, str]) -> None:
    one, other, _ = media
    with pytest.raises(InputError, match=r"^videos: 2 prompts take as many lists of videos, one for each$"):
        pair.model.requests(["<video>", "w5"], videos=[[one]], raw=True)
    first, second = pair.model.requests(["w5 <video>", "<video> w6 <video>"], videos=[one, [other, one]], raw=True)
    assert [len(each.prompt.features) for each in (first, second)] == [1, 2]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["llama", "x", "--random-init"], "1 video given, and this model takes none; leave the videos out"),
        (["llava", "x", "--random-init"], "video: the model takes no such items; known: image"),
    ],
)
def test_a_model_that_takes_no_videos_says_so(
    capsys: Capture, words: list[str], told: str, media: tuple[str, str, str]
) -> None:
    status, out, err = ran(capsys, "run", *words, "--video", media[0])
    assert (status, out) == (1, "")
    assert told in err


def test_a_file_that_is_no_video_is_told_by_its_place(
    capsys: Capture, pair: Pair, media: tuple[str, str, str], tmp_path: Path
) -> None:
    (tmp_path / "no.mp4").write_bytes(b"no video")
    given = ["--video", media[0], "--video", str(tmp_path / "no.mp4"), "--video", str(tmp_path / "none.mp4")]
    status, out, err = ran(capsys, "run", str(pair.oracle.folder), "x", *given)
    assert (status, out) == (1, "")
    assert f"video[1] ({tmp_path}/no.mp4): is no video that can be read" in err
    assert f"video[2] ({tmp_path}/none.mp4): there is no such file" in err
