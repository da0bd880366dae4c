"""A model over the processes of a pipeline answers as one process does, and every process has the answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.parity.multimodal import Pair, llava_case
from tests.parity.oracle import build_oracle, tiny_config
from tests.tasks.staged import answers

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
    case = llava_case("in stages", CLIP, "LlamaForCausalLM", {}, {"num_hidden_layers": 3})
    pair = Pair.of(case, found / "llava")
    for number, picture in enumerate(pair.ask(images=2).images):
        picture.save(found / "llava" / f"{number}.png")
    return found


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict[str, Any]:
    """What one process answers."""
    torch.set_num_threads(1)
    return {each.name: answers(each) for each in sorted(folder.iterdir()) if each.is_dir()}


def processes(*arguments: Sequence[object]) -> list[subprocess.Popen[str]]:
    """Started together, each with arguments of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return [
        subprocess.Popen(
            [sys.executable, *map(str, each)], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
        )
        for each in arguments
    ]


@pytest.mark.parametrize("size", [2, 3])
def test_two_and_three_processes_answer_as_one_does(folder: Path, alone: dict[str, Any], size: int) -> None:
    running = processes(*(["-m", "tests.tasks.staged", rank, size, folder] for rank in range(size)))
    told = [process.communicate(timeout=240)[1] for process in running]
    assert [process.returncode for process in running] == [0] * size, told
    files = [folder / f"answers.{size}.{rank}.json" for rank in range(size)]
    found = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    assert found[0].keys() == alone.keys()
    for name, wanted in alone.items():
        unseeded = [each[name].pop("unseeded", None) for each in found]
        assert unseeded == unseeded[:1] * size, "all processes draw with one seed"
        for task, answer in wanted.items():
            if task != "unseeded":
                assert [each[name][task] for each in found] == [answer] * size, (name, task)
