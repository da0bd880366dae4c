"""`triptych show A B`: what differs between two specs, side by side, with the origin of each value."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli import command
from tests.cli.command import Capture

CHILD = (
    "schema: 1\nbase: llama\nparts: {attention: {reach: {window: 8}}, norm: {eps: 1e-3}}\nsample: {hidden_size: 32}\n"
)


def ran(capsys: Capture, *words: str) -> tuple[int, str, str]:
    return command.ran(capsys, "show", *words)


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("child.yaml").write_text(CHILD)
    return "child.yaml"


def test_only_what_differs_is_shown_with_both_origins(capsys: Capture, child: str) -> None:
    status, out, err = ran(capsys, "llama", child)
    assert (status, err) == (0, "")
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in out.splitlines()]
    assert rows[0] == ["llama", "child.yaml"]
    assert [row[0] for row in rows[1:]] == [
        "architectures",
        "model_types",
        "parts.norm.eps",
        "parts.attention.reach.window",
        "sample.hidden_size",
    ]
    origin = json.loads(ran(capsys, "llama", "--json")[1])["origins"]["parts.norm.eps"]
    llama = f"# llama.yaml:{origin.split(':')[-2]}"
    assert rows[3][1:] == ["=config.norm_eps", llama, "0.001", "# child.yaml:3"]
    assert rows[4][1:] == ["-", "8", "# child.yaml:3"]
    columns = {line.index("# child.yaml") - len("0.001  ") for line in out.splitlines() if "0.001" in line}
    assert columns == {out.splitlines()[0].index("child.yaml")}, "cells stand below each other"


def test_json_holds_values_and_whole_places(capsys: Capture, child: str) -> None:
    found = json.loads(ran(capsys, "--json", child, "llama")[1])
    assert (found["left"], found["right"], found["equal"]) == ("child.yaml", "llama", False)
    by_path = {difference["path"]: difference for difference in found["differences"]}
    assert by_path["parts.attention.reach.window"] == {
        "path": "parts.attention.reach.window",
        "left": {"value": 8, "origin": "child.yaml:3:37"},
        "right": None,
    }
    assert by_path["sample.hidden_size"]["right"]["origin"].rpartition("/")[2].startswith("llama.yaml:")


def test_equal_specs_say_so(capsys: Capture) -> None:
    assert ran(capsys, "gemma2", "gemma2") == (0, "gemma2 and gemma2 say the same\n", "")
    found = json.loads(ran(capsys, "gemma2", "gemma2", "--json")[1])
    assert found == {"left": "gemma2", "right": "gemma2", "equal": True, "differences": []}


def test_overrides_are_of_the_spec_before_them(capsys: Capture) -> None:
    out = ran(capsys, "llama", "llama", "parts.norm.eps=1")[1]
    heading, row = out.splitlines()
    assert heading.split("  ")[-1] == "llama parts.norm.eps=1"
    assert row.startswith("parts.norm.eps  =config.norm_eps  # llama.yaml:")
    assert row.endswith("  1  # override 'parts.norm.eps=1'")
    assert ran(capsys, "llama", "parts.norm.eps=1", "llama", "parts.norm.eps=1")[1].endswith("say the same\n")


def test_a_path_may_hold_what_overrides_are_told_by(capsys: Capture, child: str) -> None:
    Path("a=b.yaml").write_text(CHILD)
    assert ran(capsys, child, "a=b.yaml")[1] == "child.yaml and a=b.yaml say the same\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["llama", "mistrl"],
            "override 'mistrl': not of the form path.to.key=value, nor a spec to compare with: "
            "unknown spec 'mistrl'; did you mean 'mistral'?\n",
        ),
        (["lama", "mistral"], "unknown spec 'lama'; did you mean 'llama'?\n"),
        (["llama", "nowhere.yaml"], "nowhere.yaml: No such file or directory\n"),
        (["llama", "gemma", "gemma2"], "two specs are compared, not 3: llama, gemma, gemma2\n"),
        (["llama", "gemma", "parts.norm.epz=1"], "override 'parts.norm.epz=1': "),
        (["llama", "gemma", "--schemas"], "override 'gemma': not of the form path.to.key=value"),
    ],
)
@pytest.mark.usefixtures("child")
def test_what_is_no_spec_is_refused(words: list[str], message: str, capsys: Capture) -> None:
    status, out, err = ran(capsys, *words)
    assert (status, out) == (1, "")
    assert err == message if message.endswith("\n") else err.startswith(message)


def test_two_specs_are_compared_without_torch_and_without_rich() -> None:
    code = """
import sys
from triptych.cli import main
status = main(["show", "llama", "gemma2"])
heavy = sorted({"torch", "transformers", "numpy", "rich", "PIL"} & sys.modules.keys())
assert not heavy, heavy
raise SystemExit(status)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("columns", [60, 100])
def test_on_a_terminal_cells_are_wrapped_to_its_width(columns: int) -> None:
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    words = [sys.executable, "-m", "triptych.cli", "show", "llama", "gemma2"]
    with subprocess.Popen(words, stdout=theirs) as running:
        os.close(theirs)
        lines = b"".join(_read(ours)).decode().splitlines()
        assert running.wait() == 0
    assert max(map(len, lines)) <= columns
    assert len(lines) > len({line.split()[0] for line in lines if line[:1].strip()}), "some take several lines"
    assert "".join("".join(lines).split()).count("gemma2.yaml:") > 5


def _read(terminal: int) -> list[bytes]:
    found: list[bytes] = []
    while True:
        try:
            data = os.read(terminal, 4096)
        except OSError:  # the other end is closed
            return found
        if not data:
            return found
        found.append(data)
