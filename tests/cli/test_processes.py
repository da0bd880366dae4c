"""The command line as a process of its own: what it loads, what it does with pipes, closed outputs and odd names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from triptych.spec.catalog import catalog

CLI = [sys.executable, "-m", "triptych.cli"]
FOLDER = str(catalog()["llama"].path.parent)


def ran(*words: str | bytes, **more: Any) -> subprocess.CompletedProcess[bytes]:
    options: dict[str, Any] = {"capture_output": True, "timeout": 120} | more
    done: subprocess.CompletedProcess[bytes] = subprocess.run([*CLI, *words], check=False, **options)
    assert b"Traceback" not in (done.stderr or b""), done.stderr
    return done


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["list"],
        ["list", "models", "--json"],
        ["show", "gemma2"],
        ["validate", FOLDER],
        ["run", "-h"],
        ["embed", "-h"],
    ],
)
def test_looking_loads_neither_torch_nor_transformers(words: list[str]) -> None:
    code = f"""
import sys
from triptych.cli import main
try:
    status = main({words!r})
except SystemExit as stop:
    status = stop.code
heavy = sorted({{"torch", "transformers", "triton", "numpy", "safetensors", "tokenizers", "rich"}} & sys.modules.keys())
assert not heavy, heavy
raise SystemExit(status)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr.replace(f"{len(catalog())} specs, all valid\n", "")) == (0, "")


@pytest.mark.parametrize("columns", ["", "0", "60", "none"])
def test_help_loads_little_and_is_as_wide_as_it_is_told(columns: str) -> None:
    code = """
import sys
before = set(sys.modules)
from triptych.cli import main
try:
    main(["--help"])
except SystemExit:
    slow = {"typing", "dataclasses", "inspect", "json", "shutil", "pydantic", "yaml"} & (sys.modules.keys() - before)
    assert not slow, slow
"""
    env = {**os.environ, "COLUMNS": columns}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= (60 if columns == "60" else 80)


def test_a_reader_that_goes_away_ends_the_command_in_silence(tmp_path: Path) -> None:
    lines = "".join(f"  key{n}: 1\n" for n in range(30_000))  # shown, more than a pipe holds
    (tmp_path / "long.yaml").write_text(f"schema: 1\nsample:\n{lines}")
    shown = subprocess.Popen(
        [*CLI, "show", str(tmp_path / "long.yaml")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert shown.stdout is not None
    assert shown.stderr is not None
    assert shown.stdout.readline().startswith("schema: 1")
    shown.stdout.close()
    assert shown.stderr.read() == ""
    shown.stderr.close()
    assert shown.wait(timeout=60) == 1


def test_a_closed_or_full_output_is_no_traceback() -> None:
    done = ran("list", "norms", capture_output=False, stderr=subprocess.PIPE, preexec_fn=lambda: os.close(1))
    assert done.stderr == b""
    if Path("/dev/full").exists():
        with open("/dev/full", "wb") as full:
            done = ran("show", "llama", capture_output=False, stdout=full, stderr=subprocess.PIPE)
        assert (done.returncode, done.stderr) == (1, b"[Errno 28] No space left on device\n")


def test_names_that_the_terminal_cannot_show_are_shown_escaped(tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/odd\xff\xc3\xa9.yaml"
    with open(odd, "wb") as file:
        file.write(b"schema: 1\nfoo: 1\n")
    done = ran("validate", odd, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 1
    assert rb"odd\udcff\xe9.yaml:2:1: foo: unknown key 'foo'" in done.stdout


def test_bytes_that_are_no_text_in_an_override_are_refused() -> None:
    done = ran("show", "llama", b"parts.attention.reach.window=\xff")
    assert done.returncode == 1
    assert b"not UTF-8 text" in done.stderr


def test_the_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    done = ran("--version")
    assert (done.returncode, done.stdout.decode().strip()) == (0, version("triptych"))


def test_a_prompt_may_come_from_standard_input() -> None:
    words = ["run", "llama", "-", "--random-init", "--raw", "--max-tokens", "2", "--json"]
    piped, given = ran(*words, input=b"hello"), ran(words[0], words[1], "hello", *words[3:])
    assert (piped.returncode, given.returncode) == (0, 0), piped.stderr
    assert piped.stdout == given.stdout
