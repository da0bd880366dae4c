"""The data files: what is asked has the answer that stands there, and a folder is whole, the same again, or none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from triptych.errors import InputError
from triptych.handwriting import files
from triptych.handwriting.files import Amount, write_data
from triptych.handwriting.questions import KINDS, draw_question, wordings
from triptych.handwriting.scans import Scans, load_scans
from triptych.handwriting.tokens import END, IMAGE, MODEL, SPECIAL, USER, VOCABULARY, learn_tokenizer, write_tokenizer
from triptych.inputs.chat import load_chat_template
from triptych.inputs.tokenizer import load_tokenizer

FEW = Amount(train=6, held_out=4, questions=2)
ANSWERS = {
    "What number is written?": "4047",
    "How many digits are there?": "4",
    "Is there a 0?": "Yes",
    "Is there a 3?": "No",
    "What is the first digit?": "4",
    "What is the last digit?": "7",
}


def rows(folder: Path, part: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{part}.jsonl").read_text("utf-8").splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def opened(file: Path) -> Image.Image:
    with Image.open(file) as picture:
        return picture.copy()


def test_questions_are_answered_by_the_number() -> None:
    draw, found = np.random.default_rng(0), dict[str, str]()
    for _ in range(2000):
        asked = draw_question((4, 0, 4, 7), draw)
        found[asked.question] = asked.answer
    assert {question: found[question] for question in ANSWERS} == ANSWERS


def test_every_kind_is_asked_as_often_as_it_says_and_yes_is_as_likely_as_no() -> None:
    draw = np.random.default_rng(0)
    asked = [draw_question((1, 2, 3), draw) for _ in range(4000)]
    for name, kind in KINDS.items():
        assert sum(each.kind == name for each in asked) / len(asked) == pytest.approx(kind.share, abs=0.03)
    answers = [each.answer for each in asked if each.kind == "contains"]
    assert answers.count("Yes") / len(answers) == pytest.approx(0.5, abs=0.06)
    assert {each.question for each in asked} < set(wordings())


def test_the_same_seed_gives_the_same_files_and_another_does_not(tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        write_data(tmp_path / name, amount=FEW, seed=seed)
    one, again, other = (contents(tmp_path / name) for name in ("one", "again", "other"))
    assert one == again
    changed = {name for name in one if one[name] != other[name]}
    assert changed == {name for name in one if not name.startswith("tokenizer/")}
    asked = {part: [row["prompt"] for row in rows(tmp_path / "one", part)] for part in ("train", "held_out")}
    assert asked["train"][: len(asked["held_out"])] != asked["held_out"]


def test_more_strips_begin_with_those_of_fewer(tmp_path: Path) -> None:
    write_data(tmp_path / "few", amount=FEW)
    write_data(tmp_path / "more", amount=Amount(train=8, held_out=4, questions=2))
    few, more = contents(tmp_path / "few"), contents(tmp_path / "more")
    assert all(more[name] == held for name, held in few.items() if name != "train.jsonl")
    assert more["train.jsonl"].startswith(few["train.jsonl"])


def test_each_line_names_a_picture_that_is_there(tmp_path: Path) -> None:
    write_data(tmp_path / "data", amount=FEW)
    for part, count in (("train", FEW.train), ("held_out", FEW.held_out)):
        found = rows(tmp_path / "data", part)
        assert len(found) == count * FEW.questions
        pictures = [picture for row in found for picture in row["images"]]
        assert len(set(pictures)) == count
        assert {row["kind"] for row in found} <= set(KINDS)
        assert {opened(tmp_path / "data" / picture).mode for picture in pictures} == {"RGB"}


def test_what_is_held_out_is_in_no_picture_to_learn_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, held = load_scans()
    blank = Scans(np.zeros_like(kept.dots_SYX), kept.digits_S)
    monkeypatch.setattr(files, "load_scans", lambda: (blank, held))
    write_data(tmp_path / "data", amount=FEW)
    spread = {
        part: [np.asarray(opened(file)).std((0, 1)).max() for file in (tmp_path / "data" / part).glob("*.png")]
        for part in ("train", "held_out")
    }
    assert max(spread["train"]) < 16 < min(spread["held_out"])


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(InputError, match="data is there already"):
        write_data(tmp_path / "data", amount=FEW)
    assert not list((tmp_path / "data").iterdir())


def test_nothing_is_left_of_a_folder_that_could_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_tokenizer", full)
    with pytest.raises(OSError, match="No space left"):
        write_data(tmp_path / "data", amount=FEW)
    assert not list(tmp_path.iterdir())


def test_the_tokenizer_says_each_digit_by_itself_and_any_text_at_all() -> None:
    made = learn_tokenizer()
    assert made.get_vocab_size() <= VOCABULARY
    assert [made.token_to_id(token) for token in SPECIAL] == [*range(len(SPECIAL))]
    assert made.encode("40771").tokens == [*"40771"]
    assert made.encode("Is there a 7?").tokens[-2:] == ["7", "?"]
    assert max(len(made.encode(question).ids) for question in wordings()) <= 12
    for text in ("Wie heißt die Zahl?", "数字は何ですか", "\x00\t\n  \U0001f600"):
        assert made.decode(made.encode(text).ids) == text


@pytest.mark.parametrize("content", ["What?", [{"type": "image"}, {"type": "text", "text": "What?"}]])
def test_the_chat_template_writes_what_transformers_does(content: object, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    write_tokenizer(learn_tokenizer(), tmp_path)
    template = load_chat_template(tmp_path, load_tokenizer(tmp_path).named)  # type: ignore[union-attr]
    assert template is not None
    messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
    wanted = f"{USER}{IMAGE if isinstance(content, list) else ''}What?{MODEL}"
    assert template.render(messages) == wanted
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) == wanted
    answered = [*messages, {"role": "assistant", "content": "7"}]
    assert theirs.apply_chat_template(answered, tokenize=False) == f"{wanted}7{END}"


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [(["data", "--train", "3", "--held-out", "2", "--questions", "1"], 0, ""), (["here"], 1, "here is there already")],
)
def test_the_command_writes_a_folder(words: list[str], status: int, told: str, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    command = [sys.executable, "-m", "triptych.handwriting", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, told in done.stderr) == (status, True), done.stderr
    assert not status or "Traceback" not in done.stderr
    assert status or len(rows(tmp_path / "data", "train")) == 3
