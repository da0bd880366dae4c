"""`triptych schema`, and an editor's language server that reads what it writes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.full_disk import room_for
from triptych.cli import main
from triptych.spec.catalog import catalog
from triptych.spec.json_schema import spec_json_schema

Diagnostics = list[tuple[int, int, str]]  # line and column, from 1; message
VERSION = "1.25.0"  # of yaml-language-server
MODELINE = "# yaml-language-server: $schema=schema.json\n"


def test_schema_prints_the_schema_or_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == spec_json_schema()[0]
    assert main(["schema", "--out", str(tmp_path / "schema.json")]) == 0
    assert json.loads((tmp_path / "schema.json").read_text(encoding="utf-8")) == json.loads(printed.out)
    assert capsys.readouterr().out == printed.err == ""


def test_a_file_that_cannot_be_written_is_said_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "--out", str(tmp_path / "nowhere" / "schema.json")]) == 1
    assert capsys.readouterr().err == f"--out {tmp_path}/nowhere/schema.json: No such file or directory\n"


def test_a_disk_that_is_full_leaves_the_old_schema_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "schema.json"
    file.write_text("old", encoding="utf-8")
    with room_for(1000):
        assert main(["schema", "--out", str(file)]) == 1
    assert capsys.readouterr().err == f"--out {file}: File too large\n"
    assert [(path.name, path.read_text(encoding="utf-8")) for path in tmp_path.iterdir()] == [("schema.json", "old")]


class LanguageServer:
    """One process of yaml-language-server, spoken to as an editor does."""

    def __init__(self, program: str) -> None:
        self.process = subprocess.Popen([program, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        settings = {"workspace": {"configuration": True}}
        self._send(
            id=1, method="initialize", params={"processId": os.getpid(), "rootUri": None, "capabilities": settings}
        )
        while self._receive().get("id") != 1:
            pass
        self._send(method="initialized", params={})

    def diagnostics(self, file: Path) -> Diagnostics:
        """What the server says of a file that is opened."""
        text = {"uri": file.as_uri(), "languageId": "yaml", "version": 1, "text": file.read_text(encoding="utf-8")}
        self._send(method="textDocument/didOpen", params={"textDocument": text})
        while True:
            message = self._receive()
            if "id" in message and "method" in message:  # it asks for settings: there are none
                wanted = message["params"].get("items", ()) if message.get("params") else ()
                self._send(id=message["id"], result=[{} for _ in wanted])
            elif (
                message.get("method") == "textDocument/publishDiagnostics" and message["params"]["uri"] == file.as_uri()
            ):
                found = [(d["range"]["start"], d["message"]) for d in message["params"]["diagnostics"]]
                return sorted((start["line"] + 1, start["character"] + 1, said) for start, said in found)

    def _send(self, **message: Any) -> None:
        assert self.process.stdin is not None
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self.process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        size = 0
        while line := self.process.stdout.readline().strip():
            name, _, value = line.partition(b":")
            size = int(value) if name.lower() == b"content-length" else size
        assert size, "the language server has ended"
        message: dict[str, Any] = json.loads(self.process.stdout.read(size))
        return message

    def close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    """yaml-language-server as it is installed, else from npm."""
    if found := shutil.which("yaml-language-server"):
        return found
    if not (npm := shutil.which("npm")):
        pytest.skip("neither yaml-language-server nor npm is installed")
    folder = tmp_path_factory.mktemp("npm")
    command = [npm, "install", "--prefix", str(folder), "--ignore-scripts", f"yaml-language-server@{VERSION}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        pytest.skip(f"npm cannot install yaml-language-server: {done.stderr.strip()[-200:]}")
    return str(folder / "node_modules" / ".bin" / "yaml-language-server")


@pytest.fixture(scope="module")
def server(program: str) -> Iterator[LanguageServer]:
    found = LanguageServer(program)
    yield found
    found.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("specs")
    assert main(["schema", "--out", str(found / "schema.json")]) == 0
    return found


@pytest.mark.slow
def test_an_editor_flags_nothing_in_the_registered_specs(server: LanguageServer, folder: Path) -> None:
    wrong: dict[str, Diagnostics] = {}
    for name, listed in catalog().items():
        file = folder / f"{name}.yaml"
        file.write_text(MODELINE + listed.path.read_text(encoding="utf-8"), encoding="utf-8")
        wrong[name] = server.diagnostics(file)
    assert wrong == {name: [] for name in catalog()}


@pytest.mark.slow
def test_an_editor_flags_mistakes_where_they_are_and_no_expression(server: LanguageServer, folder: Path) -> None:
    file = folder / "my.yaml"
    lines = [
        "schema: 1",
        "base: llama",
        "parts:",
        "  mlp: {hiden: 5}",
        "  attention: {use: attention, heads: =config.a, kv_heads: many, scores: {scale: null}}",
        "  other: {use: atention}",
        "  norm: {use: rms_norm, eps: 1e-6, bias: true}",
        "language_model: {width: =config.b, layers: {cont: 3}}",
    ]
    file.write_text(MODELINE + "\n".join(lines) + "\n", encoding="utf-8")
    found = server.diagnostics(file)
    assert [(line, column) for line, column, _ in found] == [(5, 9), (6, 59), (7, 16), (8, 36), (9, 45)]
    assert [said.partition(". V")[0] for _, _, said in found] == [
        "Property hiden is not allowed.",
        'Incorrect type. Expected "integer | null".',
        "Value is not accepted",
        "Property bias is not allowed.",
        "Property cont is not allowed.",
    ]
