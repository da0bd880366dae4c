"""A model over the processes of a pipeline answers as one process does, and every process has the answers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

import triptych
from tests.parity.multimodal import Pair, llava_case
from tests.parity.oracle import build_oracle, tiny_config
from tests.tasks.staged import answers, drawn
from triptych import Stage
from triptych.errors import OptionError
from triptych.registry import models as models_module
from triptych.settings import WHOLE

ROOT = Path(__file__).resolve().parent.parent.parent
MODELS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "llama": ("LlamaForCausalLM", {"num_hidden_layers": 4}),
    "gemma2": (  # its head is tied, its logits are capped
        "Gemma2ForCausalLM",
        {"num_hidden_layers": 3, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    ),
    "gpt2": ("GPT2LMHeadModel", {"n_layer": 3}),
    "bert": ("BertForSequenceClassification", {"num_hidden_layers": 3}),
}
CLIP = {
    "model_type": "clip_vision_model",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 56,
    "patch_size": 14,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each model."""
    found = tmp_path_factory.mktemp("pipeline")
    for name, (architecture, change) in MODELS.items():
        config = tiny_config(architecture)
        assert config is not None
        build_oracle({**config, **change}, found / name, seed=5)
    (found / "bert" / "labels").touch()
    renamed(found / "llama", found / "hand", "StagedForCausalLM")
    case = llava_case("in stages", CLIP, "LlamaForCausalLM", {}, {"num_hidden_layers": 3})
    pair = Pair.of(case, found / "llava")
    for number, picture in enumerate(pair.ask(images=2).images):
        picture.save(found / "llava" / f"{number}.png")
    return found


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict[str, Any]:
    """What one process answers."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models_module, "_registered", {})
        found = {each.name: answers(each) for each in sorted(folder.iterdir()) if each.is_dir()}
        return {**found, "drawn": drawn(WHOLE)}


def renamed(folder: Path, to: Path, architecture: str) -> Path:
    """The same checkpoint, of another architecture."""
    shutil.copytree(folder, to)
    config = json.loads((to / "config.json").read_text("utf-8"))
    (to / "config.json").write_text(json.dumps({**config, "architectures": [architecture]}), encoding="utf-8")
    return to


def processes(*arguments: Sequence[object]) -> list[subprocess.Popen[str]]:
    """Started together, each with arguments of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return [
        subprocess.Popen(
            [sys.executable, *map(str, each)], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
        )
        for each in arguments
    ]


@pytest.mark.parametrize("size", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_two_and_three_processes_answer_as_one_does(folder: Path, alone: dict[str, Any], size: int) -> None:
    running = processes(*(["-m", "tests.tasks.staged", rank, size, folder] for rank in range(size)))
    told = [process.communicate(timeout=240)[1] for process in running]
    assert [process.returncode for process in running] == [0] * size, told
    files = [folder / f"answers.{size}.{rank}.json" for rank in range(size)]
    found = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    assert found[0].keys() == alone.keys()
    heard = {each["drawn"].pop("bytes") for each in found}
    assert heard == {8 * (4 + 2 * (1 + 2 * 3))}, "four tokens, and three likeliest for two of them; no logits"
    for name, wanted in alone.items():
        unseeded = [each[name].pop("unseeded", None) for each in found]
        assert unseeded == unseeded[:1] * size, "all processes draw with one seed"
        for task, answer in wanted.items():
            if task not in ("unseeded", "bytes"):
                assert [each[name][task] for each in found] == [answer] * size, (name, task)


def test_a_stage_without_a_process_group_is_refused(folder: Path) -> None:
    with pytest.raises(OptionError, match=r"stage: stage 0 of 2 runs in a process group, and there is none; start as"):
        triptych.load(folder / "llama", stage=Stage(0, 2))


def test_a_group_of_another_size_is_refused(folder: Path, tmp_path: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        with pytest.raises(OptionError, match="stage: stage 0 of 2, and the process group has 1 processes; start as"):
            triptych.load(folder / "llama", stage=Stage(0, 2))
    finally:
        dist.destroy_process_group()


def test_what_goes_wrong_in_one_process_ends_the_others_with_words(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "llama", tmp_path / "llama")
    renamed(folder / "llama", tmp_path / "hand", "WholeForCausalLM")
    running = processes(*(["-m", "tests.tasks.staged_wrong", rank, tmp_path] for rank in range(2)))
    told = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0, 3], told
    first, second = (json.loads((tmp_path / f"told.{rank}.json").read_text(encoding="utf-8")) for rank in range(2))
    assert first["rank"].startswith("stage: stage 1 of 2, and this process has rank 0 of 2; Stage(0, 2) is meant")
    for found in (first, second):
        assert found["whole"].startswith("HandLlama does not run in stages; it lacks supports_pp = True, make_empty_")
    assert second["differs"] == (
        "stage 1 of 2 reads other tokens than stage 0; every process is to ask the same of its model, in the same order"
    )
    undrawn = "TriptychError: the model gave NaN as a logit in torch.float32; another dtype may help, float32 say"
    assert (first["undrawn"], second["undrawn"]) == (f"stage 1 failed: {undrawn}", undrawn.partition(": ")[2])
    assert first["drawn"] == second["drawn"] == "nothing is wrong", "after a failure that all heard of they go on"
    for case in ("differs", "sleeps", "dies"):
        assert first[case].startswith("stage 0 of 2 hears no more of "), case
        assert "its process has ended, or has not answered in the time that the process group was given" in first[case]
    assert first["after"] < 30, "seconds: no process waits for one that is gone"


@pytest.mark.slow
def test_the_script_of_the_page_runs(smollm2: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "pipeline.md").read_text("utf-8")
    (script,) = re.findall(r"^```python\n# answer\.py\n(.*?)^```$", page, re.M | re.S)
    (tmp_path / "smollm2").symlink_to(smollm2)
    (tmp_path / "answer.py").write_text(script, encoding="utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "answer.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    (wanted,) = triptych.load(smollm2).generate("Name a fruit.", max_tokens=12)
    assert done.stdout.strip() == wanted.text.strip()
