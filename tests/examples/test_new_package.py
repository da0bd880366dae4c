"""What `triptych new` writes passes its own tests at once, installed as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.examples.scratch import Scratch, build_wheel
from triptych.cli import main

pytestmark = pytest.mark.slow
PLAIN = {"architectures": ["PlainForCausalLM"], "model_type": "plain", "hidden_act": "gelu", "mlp_bias": True}
CONFIG = {**PLAIN, "num_hidden_layers": 4, "rms_norm_eps": 1e-5, "hidden_size": 96, "clip_qkv": 8.0}
TINY = Path(__file__).resolve().parents[1] / "tiny"
WRITTEN = {  # the name of a package -> how it is asked for
    "plain-family": [],
    "with-norm": ["--part", "norm.leafy"],
    "with-mixer": ["--base", "starcoder2", "--part", "mixer.leafy_mixer"],
    "triptych-with-eyes": ["--base", "llava", "--part", "norm.eye_norm"],
    "an-embedder": ["--base", "bert"],
    "a-tower": ["--base", "siglip_vision"],
    "from-a-config": ["--from-config", "config.json"],
    "from-eyes": ["--from-config", str(TINY / "LlavaForConditionalGeneration.json")],
}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    """With every package of the table installed."""
    folder = tmp_path_factory.mktemp("new")
    found = Scratch.make(folder / "env")
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    for name, words in WRITTEN.items():
        given = [str(folder / word) if word.endswith(".json") else word for word in words]
        assert main(["new", name, *given, "--out", str(folder / "src" / name)]) == 0
        build_wheel(folder / "src" / name, into=folder / "wheels")
        found.install(name, wheels=folder / "wheels")
    return found


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written_passes_its_own_tests_at_once(scratch: Scratch, name: str) -> None:
    tests: Path = scratch.folder.parent / "src" / name / "tests"
    done = scratch.run("-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", str(tests))
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_all_of_it_is_listed_with_its_distribution(scratch: Scratch) -> None:
    found = json.loads(scratch.triptych("list", "--json").stdout)
    rows = {row["name"]: row["distributions"] for kind in ("models", "towers") for row in found[kind]}
    assert rows["with_eyes"] == ["triptych-with-eyes 0.1.0"]
    assert rows["a_tower"] == ["a-tower 0.1.0"]
    assert {"leafy", "eye_norm"} <= {row["name"] for row in found["norms"]}
    assert "leafy_mixer" in {row["name"] for row in found["mixers"]}
    assert {"with_eyes", "from_eyes"} <= {row["name"] for row in found["processors"]}
