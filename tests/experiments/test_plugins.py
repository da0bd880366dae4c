"""Config groups of other packages: found by their entry point, never imported, and named where they are mistaken."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ACME = """\
defaults: [{/tower: wide}, {/projector: mlp}, {/language_model: llama}, {/data: acme}, _self_]
task: check
model:
  schema: 1
  tokens: {image: {placeholder: =language_model.vocab_size - 1, count: =rows}}
  prompt_updates: [{modality: image, replace: <image>, with: placeholder}]
"""
FILES = {
    "acme/__init__.py": "raise RuntimeError('nobody asked for me')",
    "acme/conf/experiment/acme.yaml": ACME,
    "acme/conf/tower/wide.yaml": """\
towers: {image: {spec: clip_vision, config: =config.vision_config}}
sample: {vision_config: {model_type: clip_vision_model, hidden_size: 48, intermediate_size: 64, num_hidden_layers: 1,
  num_attention_heads: 2, image_size: 28, patch_size: 14, hidden_act: gelu, layer_norm_eps: 1e-5}}
""",
    "acme/conf/run/small.yaml": "seed: 1\n",
    "acme/conf/data/acme.yaml": "prompts: [hello]\n",
    "acme/conf/data/lookup.yaml": "prompts:\n- one\n- ${oc.env:HOME}\n",
    "acme/conf/data/typo.yaml": "prompt: [one]\n",
    "acme/conf/projector/broken.yaml": "projectors: {image: [\n",
    "acme-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n",
    "acme-1.0.dist-info/entry_points.txt": "[triptych.conf]\nacme = acme.conf\n",
    "lost-2.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: lost\nVersion: 2.0\n",
    "lost-2.0.dist-info/entry_points.txt": "[triptych.conf]\nlost = lost.conf\n",
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def ran(site: Path, *words: str, plugins: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site), **({} if plugins is None else {"TRIPTYCH_PLUGINS": plugins})}
    command = [sys.executable, "-m", "triptych.cli", "experiment", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=site, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_a_package_adds_experiments_and_options_and_one_that_is_lost_troubles_nobody(site: Path) -> None:
    done = ran(site, "acme", "--json")
    assert done.returncode == 0, done.stderr
    assert '"image_tokens": 5' in done.stdout
    assert "lost (lost.conf, from lost 2.0): there is no such folder of configs; it is skipped" in done.stderr


def test_the_allow_list_keeps_groups_out(site: Path) -> None:
    done = ran(site, "acme", plugins="")
    assert (done.returncode, done.stdout) == (1, "")
    assert "unknown experiment 'acme'" in done.stderr


def test_a_mistake_in_a_file_of_a_package_is_told_with_line_and_distribution(site: Path) -> None:
    conf = site / "acme" / "conf"
    for word, place, message in (
        ("data=lookup", f"{conf}/data/lookup.yaml:3:3: prompts.1: ", "'oc.env:' is a look-up outside the experiment"),
        ("data=typo", f"{conf}/data/typo.yaml:1:1: data.prompt: ", "unknown key 'prompt'; did you mean 'prompts'?"),
        ("projector=broken", f"{conf}/projector/broken.yaml:2:1: ", ""),
    ):
        done = ran(site, "acme", word)
        assert (done.returncode, done.stdout) == (1, "")
        (line,) = [line for line in done.stderr.splitlines() if "lost.conf" not in line]
        assert line.startswith(f"{place}{message}"), line
        assert line.endswith(" (a file of acme 1.0)")
    done = ran(site, "assemble")
    assert f"run/small is offered by acme 1.0 and by triptych {version('triptych')}; uninstall one" in done.stderr
    assert not (site / "runs").exists()
