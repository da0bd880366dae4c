"""The pre-commit hook, the workflow that others call, and docs/ci.md: what they say runs, and is the same."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from triptych.cli.reports import FORMATS
from triptych.spec.rungs import RUNGS

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [line for language, text in BLOCKS if language == "sh" for line in text.splitlines()]
WORKFLOW: dict[str, Any] = yaml.load(  # BaseLoader: `on` is a word
    (ROOT / ".github" / "workflows" / "validate.yaml").read_text(encoding="utf-8"), yaml.BaseLoader
)
(HOOK,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
INPUTS: dict[str, dict[str, str]] = WORKFLOW["on"]["workflow_call"]["inputs"]
STEPS: list[dict[str, Any]] = WORKFLOW["jobs"]["validate"]["steps"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "conf" / "model", tmp_path / "conf" / "model")
    return tmp_path


def run(command: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, **variables}
    return subprocess.run(
        ["bash", "-ec", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_runs(command: str, project: Path) -> None:
    done = run(command, project, PATHS="conf/model", SPECS="llama", RUNG="shape")
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_commands_of_the_page_write_is_of_the_format_that_they_name(project: Path) -> None:
    for command in COMMANDS:
        if ">" in command or "--out" in command:
            run(command, project)
    assert ET.parse(project / "junit.xml").getroot().tag == "testsuites"
    assert json.loads((project / "specs.sarif").read_text(encoding="utf-8"))["version"] == "2.1.0"
    assert "$defs" in json.loads((project / "specs.schema.json").read_text(encoding="utf-8"))


def test_the_page_has_every_rung_and_every_format() -> None:
    rows = re.findall(r"^\| (\d) `(\w+)` \| (.*?) \|", PAGE, re.MULTILINE)
    assert rows == [(str(number), name, proves) for number, (name, proves) in enumerate(RUNGS.items(), 1)]
    assert tuple(re.findall(r"^\| `(\w+)` \| ", PAGE, re.MULTILINE)) == FORMATS


def test_the_keys_that_the_page_names_are_those_of_the_json(project: Path) -> None:
    (project / "my.yaml").write_text("schema: 1\nbase: llama\nmore: 1\n", encoding="utf-8")
    (report,) = json.loads(run("triptych validate --format json my.yaml", project).stdout)
    for found in (report["rungs"][0]["problems"][0], report["rungs"][0]):
        assert ", ".join(f'"{key}"' for key in found) in PAGE.replace("\n", " ")
    assert all(f'"{key}"' in PAGE for key in report)


@pytest.mark.parametrize("text", [text for language, text in BLOCKS if language == "yaml"])
def test_yaml_on_the_page_is_yaml(text: str) -> None:
    assert isinstance(yaml.safe_load(text), dict)


def test_the_spec_on_the_page_is_valid(project: Path) -> None:
    (text,) = [text for language, text in BLOCKS if language == "yaml" and "schema: 1" in text]
    (project / "my.yaml").write_text(
        text.replace("schema: 1", "schema: 1\ndefaults: {sliding_window: 4}"), encoding="utf-8"
    )
    done = run("triptych validate my.yaml", project)
    assert done.returncode == 0, done.stdout


def test_the_workflow_is_called_and_asks_for_no_more_than_to_read() -> None:
    assert [*WORKFLOW["on"]] == ["workflow_call"]
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert all({"type", "default"} <= given.keys() for given in INPUTS.values())


def test_every_input_of_the_workflow_is_used_and_none_stands_in_a_script() -> None:
    text = json.dumps(WORKFLOW["jobs"])
    assert set(re.findall(r"inputs\.(\w+)", text)) == INPUTS.keys()
    assert not [step for step in STEPS if "${{" in step.get("run", "")]
    variables = WORKFLOW["jobs"]["validate"]["env"]
    assert {name for step in STEPS for name in re.findall(r"\$(\w+)", step.get("run", ""))} == variables.keys()


def test_the_workflow_runs_the_commands_of_the_page_and_ends_well_with_its_defaults(project: Path) -> None:
    scripts = [step["run"] for step in STEPS if step.get("run", "").startswith("triptych ")]
    assert [*scripts] == [command for command in COMMANDS if "$" in command]
    given = {name.upper(): value["default"] for name, value in INPUTS.items()}
    done = run(scripts[0], project, **given, GITHUB_WORKSPACE=str(project))
    assert done.returncode == 0, done.stderr
    (project / "conf" / "model" / "my.yaml").write_text("schema: 1\nbase: llama\nmore: 1\n", encoding="utf-8")
    done = run(scripts[0], project, **given, GITHUB_WORKSPACE=str(project))
    assert done.returncode == 1
    assert done.stdout.startswith("::error file=conf/model/my.yaml,line=3,col=1,title=triptych spec::more: unknown key")


def test_what_a_call_on_the_page_gives_are_inputs_of_the_workflow() -> None:
    (text,) = [text for language, text in BLOCKS if language == "yaml" and "uses: " in text]
    (job,) = yaml.safe_load(text)["jobs"].values()
    assert job["uses"].partition("@")[0].endswith("/.github/workflows/validate.yaml")
    assert job["with"].keys() <= INPUTS.keys()


@pytest.mark.parametrize(
    ("path", "taken"),
    [
        *((f"conf/model/{file.name}", True) for file in (ROOT / "conf" / "model").glob("*.yaml")),
        ("my_package/conf/model/my.yaml", True),
        ("conf/experiment/my.yaml", False),
        ("conf/model/readme.md", False),
        ("otherconf/model/my.yaml", False),
        ("conf/bindings.yaml", False),
    ],
)
def test_the_hook_takes_specs_and_nothing_else(path: str, taken: bool) -> None:
    assert bool(re.search(HOOK["files"], path)) is taken


def test_the_hook_is_named_on_the_page_and_fails_on_a_mistake(project: Path) -> None:
    assert f"id: {HOOK['id']}" in PAGE
    assert run(f"{HOOK['entry']} conf/model/llama.yaml conf/model/vit.yaml", project).returncode == 0
    (project / "my.yaml").write_text("schema: 1\nbase: llama\nmore: 1\n", encoding="utf-8")
    assert run(f"{HOOK['entry']} conf/model/llama.yaml my.yaml", project).returncode == 1
