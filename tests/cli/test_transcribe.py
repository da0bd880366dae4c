"""`triptych transcribe`: texts, subtitles and JSON, and what is said of wrong input."""

from __future__ import annotations

import inspect
import json
import re
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import numpy as np
import pytest
import soundfile

import triptych
from tests.parity.hearing import RATE, waveform, whisper
from tests.tasks.test_transcribe import save_settings, save_tokenizer
from triptych.cli import main
from triptych.cli.transcribe import clock
from triptych.tasks.model import Model

HELP = """usage: triptych transcribe [-h] [--language CODE]
                           [--task {transcribe,translate}] [--timestamps]
                           [--format {text,srt,vtt,json}] [--prompt TEXT]
                           [--temperature T] [--compression-ratio-threshold R]
                           [--logprob-threshold L] [--no-speech-threshold P]
                           [--condition-on-previous-text] [--seed S]
                           [--device DEVICE] [--dtype DTYPE] [--kernels WHICH]
                           [--max-batch N]
                           MODEL FILE [FILE ...]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = whisper(tmp_path_factory.mktemp("whisper")).folder
    save_tokenizer(made)
    save_settings(made)
    for number in (1, 2):
        with wave.open(str(made / f"{number}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes((waveform(number) * 32_767).astype("<i2").tobytes())
    return made


@pytest.fixture(scope="module")
def wanted(folder: Path) -> list[Any]:
    model = triptych.load(folder)
    return [model.transcribe(folder / f"{n}.wav", language="en", timestamps=True) for n in (1, 2)]


def said(capsys: pytest.CaptureFixture[str], folder: Path, *words: str, files: int = 1) -> str:
    names = [str(folder / f"{n}.wav") for n in range(1, files + 1)]
    assert main(["transcribe", str(folder), *names, "--language", "en", *words]) == 0
    return capsys.readouterr().out


def test_the_help_is_as_documented(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main(["transcribe", "--help"])
    assert capsys.readouterr().out.startswith(HELP)


def test_a_text_is_one_line_and_of_several_files_each_has_its_name(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    model = triptych.load(folder)
    texts = [model.transcribe(folder / f"{n}.wav", language="en").text for n in (1, 2)]
    assert said(capsys, folder) == f"{texts[0]}\n"
    names = [folder / f"{n}.wav" for n in (1, 2)]
    assert said(capsys, folder, files=2) == f"{names[0]}:\n{texts[0]}\n{names[1]}:\n{texts[1]}\n"


def test_times_stand_before_each_segment(capsys: pytest.CaptureFixture[str], folder: Path, wanted: list[Any]) -> None:
    lines = [f"[{clock(s.start)} - {clock(s.end)}] {s.text}" for s in wanted[0].segments]
    assert said(capsys, folder, "--timestamps").splitlines() == lines


def test_subtitles_have_numbers_times_and_texts(
    capsys: pytest.CaptureFixture[str], folder: Path, wanted: list[Any]
) -> None:
    blocks = said(capsys, folder, "--format", "srt").strip().split("\n\n")
    for number, (block, segment) in enumerate(zip(blocks, wanted[0].segments, strict=True), 1):
        first, times, text = block.split("\n")
        assert (first, text) == (str(number), segment.text)
        assert re.fullmatch(r"\d\d:\d\d:\d\d,\d{3} --> \d\d:\d\d:\d\d,\d{3}", times)
    head, *blocks = said(capsys, folder, "--format", "vtt").strip().split("\n\n")
    assert (head, len(blocks)) == ("WEBVTT", len(wanted[0].segments))
    assert blocks[0].startswith(f"{clock(wanted[0].segments[0].start)} --> ")


def test_json_has_all_that_is_known(capsys: pytest.CaptureFixture[str], folder: Path, wanted: list[Any]) -> None:
    found = json.loads(said(capsys, folder, "--format", "json", "--timestamps"))
    assert found["file"] == str(folder / "1.wav")
    assert (found["text"], found["language"], found["duration"]) == (wanted[0].text, "en", 1.0)
    assert [s["text"] for s in found["segments"]] == [s.text for s in wanted[0].segments]
    assert "segments" not in json.loads(said(capsys, folder, "--format", "json"))


@pytest.mark.parametrize(
    ("seconds", "wanted"), [(0.0, "00:00:00.000"), (3661.2345, "01:01:01.234"), (59.9996, "00:01:00.000")]
)
def test_a_clock_has_hours_and_thousandths(seconds: float, wanted: str) -> None:
    assert clock(seconds) == wanted


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["--prompt", "w5 w6"], {"prompt": "w5 w6"}),
        (["--task", "translate"], {"task": "translate"}),
        (["--temperature", "4", "--seed", "3"], {"temperature": 4.0, "seed": 3}),
        (
            ["--temperature", "0", "--temperature", "4", "--seed", "3", "--logprob-threshold", "1"],
            {"temperature": (0.0, 4.0), "seed": 3, "logprob_threshold": 1.0},
        ),
        (
            ["--temperature", "0", "--temperature", "3", "--seed", "4", "--compression-ratio-threshold", "0"],
            {"temperature": (0.0, 3.0), "seed": 4, "compression_ratio_threshold": 0.0},
        ),
    ],
)
def test_what_is_asked_reaches_the_model(
    capsys: pytest.CaptureFixture[str], folder: Path, words: list[str], options: dict[str, Any]
) -> None:
    model = triptych.load(folder)
    wanted = model.transcribe(folder / "1.wav", language="en", **options).text
    assert said(capsys, folder, *words) == f"{wanted}\n"
    assert wanted != model.transcribe(folder / "1.wav", language="en").text


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ([], {}),
        (["--no-speech-threshold", "0.25"], {"no_speech_threshold": 0.25}),
        (["--condition-on-previous-text"], {"condition_on_previous_text": True}),
        (["--max-batch", "3"], {"max_batch": 3}),
    ],
)
def test_each_option_is_a_keyword_of_the_model(
    folder: Path, wanted: list[Any], monkeypatch: pytest.MonkeyPatch, words: list[str], given: dict[str, Any]
) -> None:
    calls = list[dict[str, Any]]()
    known = inspect.signature(Model.transcribe).parameters
    monkeypatch.setattr(Model, "transcribe", lambda *_, **options: calls.append(options) or wanted[0])
    assert main(["transcribe", str(folder), str(folder / "1.wav"), "--language", "en", *words]) == 0
    (options,) = calls
    said = {name: value for name, value in options.items() if value != known[name].default}
    assert said == {**given, "language": "en", "progress": ANY}


def test_a_bar_counts_clips_where_errors_are_seen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = list[tuple[str, int, int]]()

    @contextmanager
    def bar(title: str) -> Iterator[Callable[[int, int], None]]:
        yield lambda done, total: told.append((title, done, total))

    monkeypatch.setattr("triptych.cli.transcribe.counting", bar)
    assert main(["transcribe", str(folder), str(folder / "1.wav"), "--language", "en"]) == 0
    assert told[-1] == (f"transcribing {folder / '1.wav'}", 1, 1)


def test_subtitles_are_of_one_file(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["transcribe", "model", "a.wav", "b.wav", "--format", "srt"])
    assert left.value.code == 2
    assert "--format srt takes one FILE: its times are those of one sound" in capsys.readouterr().err


def test_wrong_input_is_told_in_a_line(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    (tmp_path / "no.wav").write_bytes(b"no sound")
    for file, message in ((tmp_path / "no.wav", "is no sound that can be read"), (tmp_path / "x", "no such file")):
        assert main(["transcribe", str(folder), str(file)]) == 1
        assert message in capsys.readouterr().err
    for wrong, message in (("xx", "'xx' is no code of a language"), ("German", "; did you mean 'de'?")):
        assert main(["transcribe", str(folder), str(folder / "1.wav"), str(folder / "2.wav"), "--language", wrong]) == 1
        assert capsys.readouterr().err.count(message) == 1  # it is wrong for every file


def test_of_several_files_those_that_can_be_read_are_written_down(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    nan = tmp_path / "nan.wav"
    soundfile.write(nan, np.full(RATE, np.nan, np.float32), RATE, subtype="FLOAT")
    names = [folder / "1.wav", tmp_path, nan, tmp_path / "x.wav", folder / "2.wav"]
    assert main(["transcribe", str(folder), *map(str, names), "--language", "en"]) == 1
    said = capsys.readouterr()
    model = triptych.load(folder)
    texts = [model.transcribe(folder / f"{n}.wav", language="en").text for n in (1, 2)]
    assert said.out == f"{names[0]}:\n{texts[0]}\n{names[-1]}:\n{texts[1]}\n"
    assert said.err.splitlines() == [
        f"{tmp_path}: is a folder; give the files in it",
        f"{nan}: has samples that are not finite",
        f"{tmp_path / 'x.wav'}: there is no such file",
    ]


def test_an_mp3_that_is_cut_off_is_told(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.mp3"
    soundfile.write(file, waveform(1, seconds=2.0), RATE)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert main(["transcribe", str(folder), str(file), "--language", "en"]) == 1
    assert re.search(r"a\.mp3: ends too soon: it has [\d,]+ of the 32,000 samples", capsys.readouterr().err)
