"""`triptych run` without a model: it asks the one that comes with the package, here one of two steps."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.command import Capture, ran
from triptych.cli import embedded
from triptych.cli.embedded import QUESTION, is_asked
from triptych.experiments.run import run_experiment
from triptych.handwriting.files import Amount, write_data
from triptych.handwriting.paper import as_strip
from triptych.inputs.processing.plain_steps import settings_of
from triptych.spec.json_file import read_json

FEW = ["train.stages=[{train: {towers: 1e-3, projectors: 1e-3, language_model: 1e-3}, steps: 2, batch_size: 4}]"]
MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"]
SIZES = [(1, 1), (300, 7), (10_000, 20), (20, 10_000), (1, 5000), (700, 900)]
SHORT = ("--max-tokens", "4")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two steps, and beside it the picture that comes with it."""
    pytest.importorskip("accelerate")
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        write_data(Path("handwriting"), amount=Amount(train=4, held_out=2, questions=1))
        outcome = run_experiment("handwriting", FEW)
        folder = shutil.copytree(outcome.folder / "model", home / "model")
    shutil.copy(home / "handwriting" / "held_out" / "00000.png", home / "number.png")
    return folder


@pytest.fixture(autouse=True)
def in_place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands where the model that comes with the package does."""
    if "trained" in request.fixturenames:
        folder = request.getfixturevalue("trained")
        monkeypatch.setattr(embedded, "folder", lambda: folder)


@pytest.mark.usefixtures("trained")
def test_without_words_its_own_picture_is_asked_about_as_a_strip(capsys: Capture, tmp_path: Path) -> None:
    status, out, err = ran(capsys, "run", *SHORT)
    assert (status, err) == (0, f"{embedded.picture()}\n{QUESTION}\n")
    assert out.endswith("\n")
    assert ran(capsys, "run", QUESTION, "--image", embedded.picture(), *SHORT)[1] == out
    with Image.open(embedded.picture()) as picture:
        as_strip(picture.convert("RGB")).save(tmp_path / "strip.png")
    words = ["run", str(embedded.folder()), QUESTION, "--image", str(tmp_path / "strip.png")]
    assert ran(capsys, *words, *SHORT) == (0, out, "")


@pytest.mark.usefixtures("trained")
def test_options_and_overrides_count_as_for_any_model(capsys: Capture) -> None:
    words = ["run", "--json", "Who?", "sample.text_config.rope_theta=5.0", *SHORT, "--logprobs", "1", "--ignore-eos"]
    status, out, err = ran(capsys, *words)
    assert (status, err) == (0, f"{embedded.picture()}\nWho?\n")
    assert len(json.loads(out)["logprobs"]) == 4
    assert ran(capsys, "run", "Who?", "no.such=1")[::2][0] == 1


@pytest.mark.usefixtures("trained")
def test_a_question_may_come_from_standard_input(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("How many digits?"))
    status, out, err = ran(capsys, "run", *SHORT, "-")
    assert (status, err) == (0, f"{embedded.picture()}\nHow many digits?\n")
    assert out == ran(capsys, "run", "How many digits?", *SHORT)[1]
    with Image.open(embedded.picture()) as picture:
        as_strip(picture.convert("RGB")).save(tmp_path / "strip.png")
    monkeypatch.setattr(sys, "stdin", io.StringIO("How many digits?"))
    words = ["run", str(embedded.folder()), "--image", str(tmp_path / "strip.png"), *SHORT, "-"]
    assert ran(capsys, *words) == (0, out, "")


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize("mode", MODES)
def test_a_picture_of_any_mode_is_answered(mode: str, capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / ("a.tif" if mode in ("LA", "CMYK", "I;16") else "a.png")
    Image.new(mode, (40, 30)).save(path)
    status, _, err = ran(capsys, "run", "--image", str(path), "Wo ist der Hund?", *SHORT)
    assert (status, err) == (0, f"{path}\nWo ist der Hund?\n")


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize("size", SIZES)
def test_a_picture_of_any_size_is_answered(size: tuple[int, int], capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "noise.png"
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    status, _, err = ran(capsys, "run", "--image", str(path), *SHORT)
    assert (status, err) == (0, f"{path}\n{QUESTION}\n")


@pytest.mark.usefixtures("trained")
def test_a_picture_that_was_held_on_its_side_is_turned(capsys: Capture, tmp_path: Path) -> None:
    with Image.open(embedded.picture()) as upright:
        upright.save(tmp_path / "a.png")
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by a quarter to the right
        upright.rotate(90, expand=True).save(tmp_path / "b.png", exif=exif)
    words = ["run", "--json", "--logprobs", "1", "--ignore-eos", *SHORT]
    found = [ran(capsys, *words, "--image", str(tmp_path / name))[1] for name in ("a.png", "b.png")]
    assert found[0] == found[1]


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--image", "nowhere.png"], "prompt.image[0] (nowhere.png): there is no such file"),
        (["--image", __file__], "cannot be read as an image: it begins like no JPEG"),
        (["x " * 4000], "takes at most "),
        (["--audio", "a.wav"], "the model takes no such items"),
    ],
)
def test_what_it_does_not_take_is_told(words: list[str], told: str, capsys: Capture) -> None:
    status, out, err = ran(capsys, "run", *words)
    assert (status, out) == (1, "")
    assert told in err


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ([], True),
        (["What number is written?"], True),
        (["Sum?"], True),
        (["-"], True),
        (["how many digits", "parts.mlp.activation=relu"], True),
        (["smollm2"], False),
        (["owner/model"], False),
        (["my model", "hi"], False),
        (["my model", "hi", "a.b=1"], False),
        (["-", "hi"], False),
        (["a folder"], False),
        (["what?"], False),
    ],
)
def test_a_question_is_told_from_a_model(
    words: list[str], asked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a folder").mkdir()
    (tmp_path / "what?").mkdir()
    assert is_asked(words) is asked


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        (["llama"], "PROMPT"),
        (["--random-init"], "MODEL, PROMPT"),
        (["--random-init", "llama"], "PROMPT"),
        (["--spec", "llama", "What is it?"], "PROMPT"),
    ],
)
def test_a_model_without_a_prompt_is_not_asked(words: list[str], missing: str, capsys: Capture) -> None:
    status, out, err = ran(capsys, "run", *words)
    assert (status, out) == (2, "")
    assert err.endswith(f"the following arguments are required: {missing}\n")


def test_a_copy_without_the_model_asks_for_one(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "folder", lambda: tmp_path / "model")
    status, out, err = ran(capsys, "run")
    assert (status, out) == (2, "")
    assert err.endswith("the following arguments are required: MODEL, PROMPT\n")


@pytest.mark.usefixtures("trained")
def test_a_picture_is_shown_in_a_terminal(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triptych.cli.terminal.can_show", lambda stream: stream is sys.stderr)
    monkeypatch.delattr("triptych.cli.run.loading")  # a bar would cost more than what it shows
    _, out, err = ran(capsys, "run", *SHORT)
    assert "\x1b[" in err
    assert err.endswith(f"\x1b[0m\n{QUESTION}\n")
    assert embedded.picture() not in err
    assert "\x1b" not in out


def test_little_is_imported(trained: Path) -> None:
    if settings_of(read_json(trained / "preprocessor_config.json")) is None:
        pytest.skip("its images are prepared by transformers")
    code = f"""
import sys
from pathlib import Path
from triptych.cli import embedded, main
embedded.folder = lambda: Path({str(trained)!r})
assert main(["run", "--max-tokens", "2"]) == 0
heavy = {{"transformers", "scipy", "rich", "accelerate", "hydra", "matplotlib", "PIL.DdsImagePlugin"}}
print(sorted(heavy & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
