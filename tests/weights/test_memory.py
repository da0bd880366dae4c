"""A model is read into about its own size of memory: one copy of the weights, and never two."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 4000,
    "hidden_size": 1024,
    "intermediate_size": 2816,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "max_position_embeddings": 64,
}
LAYER = {
    "input_layernorm": (1024,),
    "post_attention_layernorm": (1024,),
    **{f"self_attn.{name}_proj": (1024, 1024) for name in "qkvo"},
    **{f"mlp.{name}_proj": (2816, 1024) for name in ("gate", "up")},
    "mlp.down_proj": (1024, 2816),
}
LOAD = """
import json, sys
from pathlib import Path

import torch

from triptych.assembly import assemble
from triptych.weights import Checkpoint, check, fill, match, tables


def peak():
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


torch.set_num_threads(1)
torch.ones(8, 8) @ torch.ones(8, 8)
checkpoint = Checkpoint(Path(sys.argv[1]))
assembled = assemble(None, checkpoint.config)
matching = match(assembled.module, tables(assembled.plan.scopes), checkpoint.tensors)
check(matching, checkpoint="checkpoint")
before = peak()
fill(assembled.module, matching, device=torch.device("cpu"), dtype=getattr(torch, sys.argv[2]))
held = sum(p.nbytes for p in assembled.module.parameters())
print(json.dumps({"held": held, "grown": peak() - before}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of 190 MB in two shards."""
    found = tmp_path_factory.mktemp("large")
    shards = [
        {f"model.layers.{i}.{name}.weight": torch.ones(shape) for i in range(3) for name, shape in LAYER.items()},
        {"model.embed_tokens.weight": torch.ones(4000, 1024), "lm_head.weight": torch.ones(4000, 1024)},
    ]
    shards[1]["model.norm.weight"] = torch.ones(1024)
    for number, tensors in enumerate(shards):
        save_file(tensors, found / f"{number}.safetensors")
    files = {name: f"{number}.safetensors" for number, tensors in enumerate(shards) for name in tensors}
    (found / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    (found / "config.json").write_text(json.dumps(CONFIG))
    return found


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_filling_takes_one_copy_and_a_tensor(folder: Path, dtype: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(folder), dtype], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["held"] > (180e6 if dtype == "float32" else 90e6)
    largest = 4000 * 1024 * 4
    assert found["grown"] < found["held"] + largest + 20e6, found
