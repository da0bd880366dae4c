"""What `validate` and `check` found, in each format: places where a format has room for them, escapes, schemas."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triptych.cli import main
from triptych.cli.reports import FORMATS, lines
from triptych.errors import OptionError, Place, Problem
from triptych.registry import spec_files
from triptych.spec.rungs import RUNGS, Report, Rung, rungs_up_to, validate_file

Capture = pytest.CaptureFixture[str]
SARIF = json.loads((Path(__file__).parent / "sarif-schema-2.1.0.json").read_text(encoding="utf-8"))  # OASIS, errata 01
WRONG = "schema: 1\nbase: llama\nparts: {mlp: {hiden: 5}}\nmore: 1\n"
UNKNOWN = "unknown key 'hiden'; did you mean 'hidden'?"

places = st.none() | st.builds(
    Place,
    st.sampled_from(["a.yaml", "b c/é,:%.yaml", "/else/where.yaml"]),
    st.just(0) | st.integers(1, 99),
    st.integers(1, 99),
)
problems = st.lists(st.builds(Problem, st.text(), st.text(), places), max_size=3)


@st.composite
def reports(draw: st.DrawFn) -> Report:
    rungs = tuple(Rung(name, draw(problems), draw(st.lists(st.text())), draw(st.text())) for name in RUNGS)
    return Report(draw(st.text(min_size=1)), rungs, draw(st.sampled_from(["", "a.yaml"])))


def told(name: str, *found: Report) -> str:
    return "\n".join(lines(name, found))


def all_problems(found: list[Report]) -> list[Problem]:
    return [problem for report in found for rung in report.rungs for problem in rung.problems]


@pytest.fixture
def wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec with two mistakes, in a folder below the root that reports speak of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "my spec.yaml").write_text(WRONG, encoding="utf-8")
    return Path("conf") / "my spec.yaml"


@pytest.mark.parametrize("command", ["validate", "check"])
@pytest.mark.parametrize("name", FORMATS)
def test_both_commands_tell_the_same_mistakes_in_every_format(
    command: str, name: str, wrong: Path, capsys: Capture
) -> None:
    assert main([command, "--format", name, str(wrong)]) == 1
    out = capsys.readouterr().out
    assert "did you mean" in out
    assert "parts.mlp.hiden" in out
    assert "'more'" in out.replace("&#39;", "'")
    assert main([command, "--format", name, str(wrong), "--rung", "1"]) == 1
    assert "weights" not in capsys.readouterr().out or name == "sarif"  # whose rules are all there


@pytest.mark.parametrize("name", FORMATS)
def test_a_valid_spec_ends_well_in_every_format(name: str, wrong: Path, capsys: Capture) -> None:
    wrong.write_text("schema: 1\nbase: llama\n", encoding="utf-8")
    assert main(["validate", "--format", name, str(wrong)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ("1 spec, all valid\n" if name in ("text", "github") else "")
    assert (captured.out == "") is (name in ("text", "github"))


def test_github_is_told_by_commands_with_file_line_and_column(wrong: Path) -> None:
    first, second = told("github", validate_file(wrong)).splitlines()
    assert first == f"::error file=conf/my spec.yaml,line=3,col=15,title=triptych spec::parts.mlp.hiden: {UNKNOWN}"
    assert second.startswith("::error file=conf/my spec.yaml,line=4,col=1,")


@pytest.mark.parametrize("name", ["github", "sarif", "junit"])
def test_files_are_named_from_the_workspace_and_not_from_the_folder_of_the_run(
    name: str, wrong: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_WORKSPACE", str(wrong.parent.parent.resolve()))
    monkeypatch.chdir(wrong.parent)
    text = told(name, validate_file(Path(wrong.name)))
    assert re.search(r"conf/my( |%20)spec\.yaml", text)
    assert str(wrong.parent.resolve()) not in text


def test_github_commands_escape_what_would_end_them_early() -> None:
    problem = Problem("100%, a\r\nb: c", "p,q", Place("a,b:c%.yaml", 1, 2))
    assert told("github", Report("x", (Rung("spec", [problem]),))) == (
        "::error file=a%2Cb%3Ac%25.yaml,line=1,col=2,title=triptych spec::p,q: 100%25, a%0D%0Ab: c"
    )


@given(st.lists(reports(), max_size=3))
@settings(deadline=None)
def test_a_github_command_is_one_line_whose_parts_read_back(found: list[Report]) -> None:
    commands = [*lines("github", found)]
    for command, problem in zip(commands, all_problems(found), strict=True):
        assert not set("\r\n") & set(command)
        said, _, message = command.removeprefix("::error ").partition("::")
        properties = dict(pair.split("=", 1) for pair in said.split(","))
        assert properties.get("line") == (str(problem.place.line) if problem.place and problem.place.line else None)
        if problem.place:
            back = unquote(properties["file"]) if "%" in properties["file"] else properties["file"]
            assert back == problem.place.file
        unescaped = message.replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%")
        assert unescaped.endswith(problem.message)


def test_sarif_gives_each_problem_its_rule_region_field_and_relative_uri(wrong: Path) -> None:
    log = json.loads(told("sarif", validate_file(wrong)))
    jsonschema.validate(log, SARIF)
    (run,) = log["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == [*RUNGS]
    result = run["results"][0]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "spec"
    assert result["message"]["text"] == f"parts.mlp.hiden: {UNKNOWN}"
    (location,) = result["locations"]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "conf/my%20spec.yaml"},
        "region": {"startLine": 3, "startColumn": 15},
    }
    assert location["logicalLocations"] == [{"fullyQualifiedName": "parts.mlp.hiden"}]


def test_a_sarif_alert_stays_the_same_when_lines_come_above_it(wrong: Path) -> None:
    def prints() -> list[Any]:
        results = json.loads(told("sarif", validate_file(wrong)))["runs"][0]["results"]
        return [result["partialFingerprints"] for result in results]

    before = prints()
    wrong.write_text(f"# a line more\n{WRONG}", encoding="utf-8")
    assert prints() == before
    assert len({json.dumps(found) for found in before}) == 2


@given(st.lists(reports(), max_size=3))
@settings(deadline=None)
def test_every_sarif_log_is_one_by_the_schema_of_the_standard(found: list[Report]) -> None:
    log = json.loads(told("sarif", *found))
    jsonschema.Draft4Validator(SARIF).validate(log)
    results = log["runs"][0]["results"]
    said = zip((result["message"]["text"] for result in results), all_problems(found), strict=True)
    assert all(text.endswith(problem.message) for text, problem in said)


def test_junit_has_a_case_for_each_spec_and_rung(wrong: Path) -> None:
    right = wrong.with_name("right.yaml")
    right.write_text("schema: 1\nbase: llama\n", encoding="utf-8")
    root = ET.fromstring(told("junit", validate_file(wrong), validate_file(right)))
    assert root.attrib == {"name": "triptych", "tests": "4", "failures": "1", "skipped": "1"}
    cases = {(case.get("classname"), case.get("name")): case for case in root.iter("testcase")}
    assert [*cases] == [(str(file), rung) for file in (wrong, right) for rung in ("spec", "capabilities")]
    failed = cases[str(wrong), "spec"]
    assert (failed.get("file"), failed.get("line")) == ("conf/my spec.yaml", "3")
    (failure,) = failed.iter("failure")
    assert failure.get("message") == "2 problems"
    assert (failure.text or "").splitlines()[0] == f"{wrong}:3:15: parts.mlp.hiden: {UNKNOWN}"
    (skipped,) = cases[str(wrong), "capabilities"].iter("skipped")
    assert skipped.get("message") == "a rung below it failed"
    assert not [*cases[str(right), "spec"]]


@given(st.lists(reports(), max_size=3))
@settings(deadline=None)
def test_every_junit_file_is_xml_whatever_messages_hold(found: list[Report]) -> None:
    text = told("junit", *found)
    root = ET.fromstring(text)
    assert text.isascii()
    assert len([*root.iter("testcase")]) == len(RUNGS) * len(found)
    failed = sum(bool(rung.problems) for report in found for rung in report.rungs)
    assert root.get("failures") == str(failed) == str(len([*root.iter("failure")]))


@given(st.lists(reports(), max_size=3))
@settings(deadline=None)
def test_json_has_the_same_keys_whatever_was_found(found: list[Report]) -> None:
    for report, read in zip(found, json.loads(told("json", *found)), strict=True):
        assert [*read] == ["spec", "file", "passed", "rungs"]
        assert read["passed"] is report.passed
        for rung, was in zip(read["rungs"], report.rungs, strict=True):
            assert [*rung] == ["rung", "number", "state", "problems", "notes", "skipped"]
            assert rung["state"] == was.state
            assert all([*problem] == ["file", "line", "column", "path", "message"] for problem in rung["problems"])
            known = [problem.place is not None and problem.place.line > 0 for problem in was.problems]
            assert [problem["line"] is not None for problem in rung["problems"]] == known
            assert [problem["message"] for problem in rung["problems"]] == [problem.message for problem in was.problems]


def test_a_problem_without_a_place_is_told_of_the_file_of_its_spec() -> None:
    report = Report("llama", (Rung("weights", [Problem("missing: x")]),), "conf/llama.yaml")
    assert told("github", report) == "::error file=conf/llama.yaml,title=triptych weights::missing: x"
    (result,) = json.loads(told("sarif", report))["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"] == {"artifactLocation": {"uri": "conf/llama.yaml"}}
    unknown = Report("lama", (Rung("spec", [Problem("unknown spec 'lama'")]),))
    assert told("github", unknown) == "::error title=triptych spec::lama: unknown spec 'lama'"


def test_a_file_outside_the_workspace_keeps_its_whole_path(wrong: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = wrong.resolve()
    monkeypatch.setenv("GITHUB_WORKSPACE", str(whole.parent / "else"))
    assert f"file={whole.as_posix()}," in told("github", validate_file(whole))
    assert whole.as_uri() in told("sarif", validate_file(whole))


@pytest.mark.parametrize(("number", "name"), list(enumerate(RUNGS, 1)))
def test_a_rung_is_named_or_numbered_and_takes_those_below_it(number: int, name: str) -> None:
    assert rungs_up_to(name) == rungs_up_to(str(number)) == tuple(RUNGS)[:number]


@pytest.mark.parametrize("word", ["0", "6", "", "-1", "shap", "kernels"])
def test_a_rung_that_there_is_not_is_refused_with_those_that_there_are(word: str) -> None:
    with pytest.raises(OptionError, match=f"no rung {word!r} here; known: 1 or spec, 2 or capabilities, 3 or"):
        rungs_up_to(word)


def test_validate_has_only_the_rungs_that_need_no_torch(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["validate", "--rung", "shape", "x.yaml"])
    assert stop.value.code == 2
    assert "argument --rung: no rung 'shape' here; known: 1 or spec, 2 or capabilities" in capsys.readouterr().err


def test_what_a_spec_denies_and_shows_is_a_mistake_of_the_second_rung(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("schema: 1\nbase: llava\ncapabilities:\n  supports_multimodal: false\n", encoding="utf-8")
    spec, capabilities = validate_file(file).rungs
    assert not spec.problems
    assert [str(problem) for problem in capabilities.problems] == [
        f"{file}:4:24: capabilities.supports_multimodal: the spec denies it, and its structure shows it"
    ]


def test_two_kinds_of_score_are_a_mistake_of_the_second_rung(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    said = "{supports_cross_encoding: true, supports_late_interaction: true}"
    file.write_text(f"schema: 1\nbase: llama\ncapabilities: {said}\n", encoding="utf-8")
    (problem,) = validate_file(file).rungs[1].problems
    assert str(problem).startswith(f"{file}:3:")
    assert "the score types 'cross-encoder' and 'late-interaction'; a model has one" in str(problem)


def test_the_first_rung_of_all_registered_specs_takes_little_more_than_reading_them() -> None:
    """In one run, beside a parser of YAML in plain Python reading the same files; the best of three cold processes."""
    code = """
import time, yaml
from triptych.registry import spec_files
from triptych.spec.rungs import validate_file
files, begin = spec_files().values(), time.process_time()
assert all(validate_file(file, rungs=["spec"]).passed for file in files)
validated = time.process_time()
assert all(yaml.compose(file.read_text("utf-8"), Loader=yaml.SafeLoader) for file in files)
print((validated - begin) / (time.process_time() - validated))
"""
    ran = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    assert min(float(done.stdout) for done in ran) < 3


@pytest.mark.slow
def test_the_first_three_rungs_of_all_registered_specs_take_under_a_minute() -> None:
    """Of processor time, the start of the command included: of one core, where there may be two."""
    code = """
import sys, time
from triptych.cli import main
from triptych.registry import spec_files
status = main(["check", "--rung", "shape", *spec_files()])
print(time.process_time(), file=sys.stderr)
raise SystemExit(status)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(": shape: ") == len(spec_files())
    assert float(done.stderr.splitlines()[-1]) < 60
