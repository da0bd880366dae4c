"""The report of modules: one row each, true of the specs that there are, and a page that tells the same."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.beside import imported
from tests.parity import measure
from triptych.spec.catalog import load_named
from triptych.spec.mapping import tree_of
from triptych.spec.merge import inherited

ROOT = Path(__file__).resolve().parent.parent


coverage, structure_of = imported("tools", "coverage"), imported("tools", "structure").structure_of
facts, measured, page, rows, totals = (coverage.facts, coverage.measured, coverage.page, coverage.rows, coverage.totals)
NOT_MEASURED = (5, 6)  # columns of the page that only a measurement tells


def test_each_module_has_a_row_and_each_spec_that_serves_one_is_told_with_its_parts() -> None:
    found = {row.module: row for row in rows()}
    assert [*found] == [module["module"] for module in facts()]
    llama = found["llama"]
    assert (llama.spec, llama.oracle, llama.relation) == ("llama", "LlamaForCausalLM", "same")
    assert {"mixer.attention", "mixer.gated_mlp", "norm.rms_norm", "position.rope"} <= {*llama.parts}
    assert {"mixer.moe", "router.top_k"} <= {*found["mixtral"].parts}
    assert found["arctic"].oracle == ""  # no public implementation


def test_lines_are_those_that_say_something() -> None:
    (qwen3,) = (row for row in rows() if row.module == "qwen3")
    text = (ROOT / "conf" / "model" / "qwen3.yaml").read_text("utf-8").splitlines()
    assert 0 < qwen3.lines == len([line for line in text if line.strip() and not line.startswith("#")])


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ("norm: {eps: 0.5}", False),
        ("attention: {kv_heads: =config.num_key_value_heads // 2}", False),
        ("attention: {reach: {window: 5}}", True),
        ("mlp: {activation: gelu}", True),
        ("attention: {position: null}", True),
    ],
)
def test_a_structure_is_what_is_left_without_numbers(change: str, differs: bool) -> None:
    changed = tree_of(yaml.safe_load(f"{{schema: 1, base: llama, parts: {{{change}}}}}"), origin="a test")
    tree = load_named("llama")[1]
    assert (structure_of(inherited(changed)) != structure_of(tree)) is differs


def test_what_is_measured_is_verified_within_the_tolerance_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "errors", {"llama": (2e-7, True), "qwen3": (0.5, False)}.get)
    given = [row for row in rows() if row.spec in ("llama", "qwen3")]
    found = {row.spec: row for row in measured(given)}
    assert (found["llama"].verified, found["qwen3"].verified) == (True, False)
    assert totals([*found.values()])["verified"] == 1


def test_the_errors_are_those_of_the_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {"qwen3": measure.cases()["qwen3"][:1]}
    monkeypatch.setattr(measure, "cases", lambda: few)
    error, within = measure.errors("qwen3")
    assert within
    assert 0 < (error or 0) < 1e-5
    monkeypatch.setattr(measure.Pair, "tolerance", 1e-9)
    assert measure.errors("qwen3") == (error, False)
    assert measure.errors("gpt2") == (None, False)


def test_the_page_tells_what_there_is() -> None:
    def cells(text: str) -> list[list[str]]:
        lines = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
        return [[c for n, c in enumerate(line) if n not in NOT_MEASURED] for line in lines if "verified" not in line[0]]

    written = (ROOT / "docs" / "coverage.md").read_text("utf-8")
    assert cells(written) == cells(page([*rows()])), "run python -m tools.coverage --page > docs/coverage.md"


def test_every_module_with_a_spec_and_a_reference_is_verified_on_the_page() -> None:
    lines = [line.strip("| ").split(" | ") for line in (ROOT / "docs" / "coverage.md").read_text("utf-8").splitlines()]
    served = [line for line in lines if len(line) == 7 and line[1] != "none" and line[4] != "self-referenced"]
    assert len(served) > 10
    assert not [line[0] for line in served[1:] if line[-1] != "yes"]


def run(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "tools.coverage", *words], cwd=ROOT, capture_output=True, check=True)
    return done.stdout.decode()


def test_the_command_prints_a_line_a_module_and_json() -> None:
    text = run("--facts")
    assert all(any(line.split()[:1] == [row.module] for line in text.splitlines()) for row in rows())
    told: dict[str, Any] = json.loads(run("--facts", "--json", "--kind", "moe_lm"))
    assert told["totals"]["modules"] == len(told["rows"]) == len(facts(["moe_lm"]))


def test_an_unknown_kind_is_told_with_those_that_there_are() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.coverage", "--kind", "moe"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert re.search(r"invalid choice: 'moe' \(choose from .*moe_lm", done.stderr)
