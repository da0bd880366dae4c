"""`triptych run --audio`: files of sound beside a prompt, and what is said of a file or a model that is not for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import triptych
from tests.cli.command import Capture, ran
from tests.inputs.media.test_sound_files import written
from tests.parity.hearing import RATE, waveform
from tests.parity.sounding import Pair, all_cases
from triptych import InputError

TEMPLATE = """{% for message in messages %}{% for part in message.content %}\
{{ part.text if part.type == 'text' else '<|audio_bos|><|AUDIO|><|audio_eos|>' }} {% endfor %}{% endfor %}"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair.of(next(all_cases()), tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A WAVE file of 48 kHz in stereo, and a FLAC of the model's rate."""
    folder = tmp_path_factory.mktemp("sounds")
    stereo = np.stack([waveform(1, seconds=0.9, rate=48_000)] * 2)
    written(folder / "a.wav", stereo, rate=48_000)
    soundfile.write(folder / "b.flac", waveform(2, seconds=0.5), RATE)
    return str(folder / "a.wav"), str(folder / "b.flac")


def test_files_of_sound_go_with_the_prompt_in_their_order(capsys: Capture, pair: Pair, files: tuple[str, str]) -> None:
    text = "w50 <|AUDIO|> w51 <|AUDIO|>"
    words = [str(pair.oracle.folder), text, "--audio", files[0], "--audio", files[1], "--raw", "--dtype", "float32"]
    status, out, err = ran(capsys, "run", *words, "--json", "--max-tokens", "4", "--ignore-eos")
    assert status == 0, err
    heard = [(np.stack([waveform(1, seconds=0.9, rate=48_000)] * 2), 48_000), waveform(2, seconds=0.5)]
    asked: dict[str, Any] = {"raw": True, "max_tokens": 4, "ignore_eos": True}
    (wanted,) = pair.model.generate(text, sounds=heard, **asked)
    (turned,) = pair.model.generate(text, sounds=heard[::-1], **asked)
    assert json.loads(out)["token_ids"] == [*wanted.token_ids]
    assert turned.prompt_token_ids == wanted.prompt_token_ids or turned.token_ids != wanted.token_ids
    status, out, err = ran(capsys, "run", *words, "--max-tokens", "4", "--ignore-eos")
    assert (status, out) == (0, f"{wanted.text}\n"), err


def test_every_way_to_an_answer_takes_sounds(pair: Pair, files: tuple[str, str]) -> None:
    text, sounds, model = "w50 <|AUDIO|> w51", [files[1]], pair.model
    asked: dict[str, Any] = {"raw": True, "max_tokens": 4, "ignore_eos": True}
    (wanted,) = model.generate([text], sounds=[sounds], **asked)
    assert "".join(model.stream(text, sounds=files[1], **asked)) == wanted.text
    engine = triptych.Engine(model)
    assert engine.submit(text, sounds=sounds, **asked).result().token_ids == wanted.token_ids
    assert model.logits(wanted.prompt_token_ids, sounds=sounds)[-1].argmax() == wanted.token_ids[0]
    (likely,) = model.likelihood(text, [list(wanted.token_ids)], sounds=sounds, raw=True)
    (other,) = model.likelihood(text, [list(wanted.token_ids)], sounds=waveform(3, seconds=0.5), raw=True)
    assert likely.logprob > other.logprob


def test_a_chat_template_writes_the_place_of_a_sound(pair: Pair, files: tuple[str, str]) -> None:
    (pair.oracle.folder / "chat_template.jinja").write_text(TEMPLATE)
    try:
        (found,) = triptych.load(pair.oracle.folder).requests("w50 w51", sounds=files[1])
    finally:
        (pair.oracle.folder / "chat_template.jinja").unlink()
    (wanted,) = pair.model.requests("<|audio_bos|><|AUDIO|><|audio_eos|> w50 w51", sounds=files[1], raw=True)
    assert found.prompt.token_ids == wanted.prompt.token_ids
    (plain,) = pair.model.requests("w50 w51", sounds=files[1], raw=True)
    assert plain.prompt.token_ids[: plain.prompt.features[0].mm_position.length] == (201,) * 12


def test_several_prompts_take_sounds_each(pair: Pair, files: tuple[str, str]) -> None:
    one, other = files
    for wrong in ([[one]], (waveform(1), RATE), waveform(1), one):
        with pytest.raises(InputError, match=r"^sounds: 2 prompts take as many lists of sounds, one for each$"):
            pair.model.requests(["<|AUDIO|>", "w50"], sounds=wrong, raw=True)
    first, second = pair.model.requests(["w50 <|AUDIO|>", "<|AUDIO|> w50 <|AUDIO|>"], sounds=[one, [other, one]])
    assert [len(each.prompt.features) for each in (first, second)] == [1, 2]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["llama", "x", "--random-init"], "1 sound given, and this model takes none; leave the sounds out"),
        (["llava", "x", "--random-init"], "audio: the model takes no such items; known: image"),
        (["qwen2_audio", "x", "--random-init"], "model states none to bring it to"),
    ],
)
def test_a_model_that_takes_no_sounds_says_so(
    capsys: Capture, words: list[str], told: str, files: tuple[str, str]
) -> None:
    status, out, err = ran(capsys, "run", *words, "--audio", files[0])
    assert (status, out) == (1, "")
    assert told in err


def test_each_file_that_is_no_sound_is_told_by_its_place(
    capsys: Capture, pair: Pair, files: tuple[str, str], tmp_path: Path
) -> None:
    (tmp_path / "no.mp3").write_bytes(b"no sound")
    written(tmp_path / "empty.wav", np.zeros((1, 0)))
    cut = written(tmp_path / "cut.wav", np.zeros((1, 50)))
    cut.write_bytes(cut.read_bytes()[:-20])
    given = [word for name in ("no.mp3", "empty.wav", "cut.wav", "x") for word in ("--audio", str(tmp_path / name))]
    status, out, err = ran(capsys, "run", str(pair.oracle.folder), "x", "--audio", files[0], *given)
    assert (status, out) == (1, "")
    assert f"audio[1] ({tmp_path}/no.mp3): is no sound that can be read" in err
    assert f"audio[2] ({tmp_path}/empty.wav): has no samples" in err
    assert f"audio[3] ({tmp_path}/cut.wav): ends too soon: it has 40 of the 50 samples that it announces" in err
    assert f"audio[4] ({tmp_path}/x): there is no such file" in err
