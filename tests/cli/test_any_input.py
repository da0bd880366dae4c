"""Whatever a command is given: it says in words what is wrong, where, and ends with 1 or 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command import Capture, ran

GOOD = "schema: 1\nbase: llama\n"
FILES: dict[str, bytes] = {
    "binary": bytes(range(256)) * 20,
    "huge": b"a: " + b"x" * 2_000_000,
    "zeros": bytes(5000),
    "list": b"[1, 2]",
    "null": b"null",
    "deep": b'{"a": ' + b"[" * 200_000,
    "number": b'{"vocab_size": ' + b"9" * 9999 + b"}",
    "half": b'{"a":',
    "utf-16": "schema: 1".encode("utf-16"),
}
PLACES = ["nowhere", "folder", "loop", "unreadable", "/dev/zero", "good/below", "x" * 300, "\udcff"]
SPECS = [f"{name}.yaml" for name in (*FILES, *PLACES)] + PLACES
WITH_SPEC = [
    *(["validate"], ["validate", "--rung", "spec"], ["check"], ["check", "--rung", "shape"]),
    *(["show"], ["show", "--json"], ["show", "--tree"], ["show", "--schemas"], ["show", "--capabilities"]),
    *(["show", "llama"], ["show", "--picture", "a.svg"]),
]
WITH_CONFIG = [
    *(["show", "llama", "--config"], ["show", "llama", "--picture", "a.png", "--config"]),
    *(["new", "my-family", "--from-config"], ["new", "my-family", "--base", "llama", "--from-config"]),
    ["check", "llama", "--checkpoint"],
]
WITH_TARGET = [["schema", "--out"], ["show", "vit", "--picture"], ["new", "my-family", "--out"]]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in FILES.items():
        Path(f"{name}.yaml").write_bytes(content)
        Path(f"{name}.json").write_bytes(content)
    for name in ("folder", "folder.yaml"):
        Path(name).mkdir()
    for name in ("loop", "loop.yaml"):
        Path(name).symlink_to(name)
    for name in ("unreadable", "unreadable.yaml"):
        Path(name).write_text("} no spec, for those who may read everything")
        Path(name).chmod(0)
    Path("good").write_text(GOOD)


def refused(capsys: Capture, *words: str) -> None:
    status, out, err = ran(capsys, *words)
    assert status in (1, 2), (words, out)
    assert len(out + err) > 10, words
    assert not [line for line in (out + err).splitlines() if "[Errno" in line or "Error(" in line]


@pytest.mark.parametrize("words", WITH_SPEC, ids=" ".join)
def test_what_is_no_spec_is_refused(words: list[str], capsys: Capture) -> None:
    for path in SPECS:
        refused(capsys, *words, path)


@pytest.mark.parametrize("words", WITH_CONFIG, ids=" ".join)
def test_what_is_no_config_is_refused_and_nothing_is_written(words: list[str], capsys: Capture) -> None:
    before = sorted(Path().iterdir())
    for path in (*(f"{name}.json" for name in FILES), *PLACES, ""):
        if path != "/dev/zero":  # 50 MB of it are read; one command will do for that
            refused(capsys, *words, path)
    assert sorted(Path().iterdir()) == before


def test_a_config_that_never_ends_is_refused(capsys: Capture) -> None:
    refused(capsys, "new", "my-family", "--from-config", "/dev/zero")


@pytest.mark.parametrize("words", WITH_TARGET, ids=" ".join)
def test_what_cannot_be_written_is_said_and_nothing_is_left(words: list[str], capsys: Capture) -> None:
    before = sorted(Path().rglob("*"))
    paths = ["good/a.svg", "loop/a.svg", f"{'x' * 300}.svg", "folder.svg"]
    Path("folder.svg").mkdir()
    Path("folder.svg/kept").touch()
    for path in [*paths, "nowhere/a.svg"] if words[0] != "new" else paths:  # which makes the folders on the way
        refused(capsys, *words, path)
    assert sorted(Path().rglob("*")) == sorted([*before, Path("folder.svg"), Path("folder.svg/kept")])


@pytest.mark.parametrize(
    "words",
    [
        *(["validate", "--formt", "json", "good"], ["validate", "--format", "xml", "good"]),
        *(["check", "--rung", "shapes", "llama"], ["check"], ["schema", "--uot", "x"], ["schema", "more"]),
        *(["show"], ["show", "llama", "--pictures", "a"], ["show", "llama", "--tree", "--schemas"]),
        *(["list", "--jsn"], ["list", "models", "towers"], ["new"], ["new", "a", "b"], ["new", "a", "--part"]),
    ],
    ids=" ".join,
)
def test_an_unknown_word_or_option_is_a_wrong_usage(words: list[str], capsys: Capture) -> None:
    status, out, err = ran(capsys, *words)
    assert (status, out) == (2, "")
    assert "error: " in err


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        *(["validate", "null.yaml"], ["validate", "--format", "sarif", "list.yaml"], ["check", "llama"]),
        *(["check", "--format", "junit", "llama"], ["schema"], ["show", "llama"], ["show", "llama", "--tree"]),
        *(["show", "llama", "llava"], ["list"], ["list", "--json"], ["new", "my-family"]),
    ],
    ids=" ".join,
)
def test_a_reader_that_is_gone_before_the_first_line_is_no_traceback(words: list[str]) -> None:
    gone, stdout = os.pipe()
    os.close(gone)
    with os.fdopen(stdout, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "triptych.cli", *words], stdout=closed, stderr=subprocess.PIPE, check=False
        )
    told = [line for line in done.stderr.decode().splitlines() if not line.startswith("on top of llama; next: ")]
    assert (done.returncode, [line for line in told if not line.startswith("1 spec")]) == (1, [])
