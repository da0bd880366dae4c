"""README.md does what it says: each snippet is run; its commands that install are run by .ci/run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUICKER = {
    "cpu.py": "--repeat 1 --starts 1 --batch 1 --dtype float32",
    "startup.py": "--repeat 1",
    "scheduler.py": "--steps 50",
}


@dataclass(frozen=True)
class Snippet:
    """A fenced block: the marker on the line above it, its language and its text."""

    marker: str
    language: str
    text: str


FENCED = re.compile(r"^(?:<!-- (\w+) -->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SNIPPETS = [Snippet(marker or "", *rest) for marker, *rest in FENCED.findall(README)]
INSTALLS = {snippet.marker: snippet.text for snippet in SNIPPETS if snippet.marker}
SHOWN = {one.marker: shown.text for one, shown in pairwise(SNIPPETS) if one.marker and not shown.language}
COMMANDS = [line for s in SNIPPETS if s.language == "sh" and not s.marker for line in s.text.splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that README.md shows."""
    for snippet in SNIPPETS:
        if snippet.language == "yaml":
            (tmp_path / snippet.text.split()[1]).write_text(snippet.text, encoding="utf-8")  # "# name.yaml"
    (tmp_path / "my.png").symlink_to(ROOT / "framework" / "handwriting" / "number.png")
    return tmp_path


def run(command: str, folder: Path) -> str:
    """What a command prints when it runs with this environment's programs; it must end well."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_readme_has_the_install_commands_and_snippets_of_each_kind() -> None:
    assert set(INSTALLS) == {"run", "chat", "test"}
    assert {"python", "yaml", "sh"} <= {snippet.language for snippet in SNIPPETS}


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("triptych")])
def test_a_command_of_the_readme_runs(command: str, folder: Path) -> None:
    run(command, folder)


@pytest.mark.slow
@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("python")])
def test_a_benchmark_of_the_readme_runs(command: str, folder: Path, smollm2: Path) -> None:
    (folder / "smollm2").symlink_to(smollm2)
    _, script, *rest = shlex.split(command)
    assert run(shlex.join(["python", str(ROOT / script), *rest]) + " " + QUICKER[Path(script).name], folder)


@pytest.mark.slow
@pytest.mark.parametrize("text", [snippet.text for snippet in SNIPPETS if snippet.language == "python"])
def test_a_python_snippet_of_the_readme_runs(text: str, folder: Path, smollm2: Path) -> None:
    (folder / "smollm2").symlink_to(smollm2)
    (folder / "snippet.py").write_text(text, encoding="utf-8")
    assert run("python -W error snippet.py", folder)


def test_the_first_command_prints_what_the_readme_shows(folder: Path) -> None:
    assert run(INSTALLS["run"].splitlines()[-1], folder) == SHOWN["run"]


@pytest.mark.slow
def test_so_does_the_chat(folder: Path, smollm2: Path) -> None:
    (folder / "smollm2").symlink_to(smollm2)
    assert run(INSTALLS["chat"].splitlines()[-1], folder) == SHOWN["chat"]


@pytest.mark.parametrize("command", sorted(set(re.findall(r"^\| `triptych (\w+)", README, re.MULTILINE))))
def test_a_command_of_the_table_has_help(command: str, folder: Path) -> None:
    assert run(f"triptych {command} --help", folder)


def test_the_table_lists_the_commands_that_there_are(folder: Path) -> None:
    listed = set(re.findall(r"^\| `triptych (\w+)", README, re.MULTILINE))
    offered = set(re.findall(r"^    (\w+)\s+\w", run("triptych --help", folder), re.MULTILINE))
    assert offered
    assert listed == offered
