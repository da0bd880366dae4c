"""The experiment that compares: its members, as the command in its file makes them, and a small part of them run."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import triptych.conf
from triptych.cli import main
from triptych.experiments import check
from triptych.experiments.compose import compose
from triptych.experiments.read import read
from triptych.experiments.sweep import members
from triptych.handwriting.files import Amount, write_data

TEXT = Path(triptych.conf.__file__).with_name("experiment").joinpath("handwriting_sweep.yaml").read_text("utf-8")
_, _, NAME, _, *WORDS = shlex.split(TEXT.splitlines()[1].lstrip("# "))
RATES = "train: {towers: 1e-3, projectors: 1e-3, language_model: 1e-3}, steps: 1, batch_size: 4"
FEW = f"train.stages=[{{name: read, kinds: [number], {RATES}}}, {{name: all, {RATES}}}]"
TOKENS = {("siglip", "linear"): 16, ("siglip", "mlp"): 16, ("clip", "linear"): 17, ("clip", "mlp"): 17}


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_there_are_two_towers_three_projectors_and_two_language_models_and_their_shapes_agree() -> None:
    found = [choices for _, choices in members(NAME, WORDS)]
    assert len(found) == 2 * 3 * 2
    for choices in found:
        tower, projector, _ = (word.partition("=")[2] for word in choices)
        row = check.summary([*check.rows(read(compose(NAME, [*choices, "task=check"])), Path(), 0)])
        assert row["image_tokens"] == TOKENS.get((tower, projector), 8)
        assert row["width"] == 96


ALL = """
import sys
from triptych.experiments.compose import compose
from triptych.experiments.read import read
from triptych.experiments.sweep import members
for words, _ in members(sys.argv[1], sys.argv[2:]):
    assert read(compose(sys.argv[1], words)).settings.task == "train"
print({"torch", "transformers"} & sys.modules.keys() or "light")
"""


def test_every_member_is_checked_without_torch() -> None:
    run = subprocess.run([sys.executable, "-c", ALL, NAME, *WORDS], capture_output=True, text=True, check=False)
    assert run.stdout == "light\n", run.stderr


def test_some_members_run_on_the_same_data_and_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("accelerate")
    write_data(Path("handwriting"), amount=Amount(train=4, held_out=2, questions=3))
    words = ["tower=siglip,clip", "projector=paired_mlp", "language_model=llama,qwen3", FEW]
    for _ in range(2):  # what is done is not done again
        assert main(["experiment", NAME, "-m", *words]) == 0
    assert "4 members, none broken" in capsys.readouterr().err
    (folder,) = Path("runs/handwriting_sweep/sweeps").iterdir()
    rows = [json.loads(line) for line in (folder / "comparison.jsonl").read_text().splitlines()]
    assert [row["steps"] for row in rows] == [2] * 4
    assert [row["parameters"] - rows[0]["parameters"] for row in rows] == [0, 6 * 24, 96, 6 * 24 + 96]  # norms, a class
    assert all({"eval_exact", "eval_exact.number"} <= row.keys() for row in rows)
    assert (folder / "comparison.png").is_file()
    assert all(log.read_text().count("done before") == 1 for log in Path("runs").rglob("log.txt"))
