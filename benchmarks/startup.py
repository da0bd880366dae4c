"""How long triptych takes before it computes anything: python benchmarks/startup.py.

Medians in milliseconds of whole processes, beside a python that does nothing; and of spec and config to an 8B Llama on
meta in a warm process, beside transformers' own class on meta.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LLAMA_8B: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_act": "silu",
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500000.0,
    "rope_scaling": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
    "attention_bias": False,
    "tie_word_embeddings": False,
}


def milliseconds(call: Callable[[], object], repeat: int) -> float:
    """Median of `repeat` calls, after one that is not counted."""
    call()
    taken = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        taken.append((time.perf_counter() - start) * 1e3)
    return median(taken)


def process(command: list[str]) -> Callable[[], object]:
    """The command as a user runs it: the first, uncounted run may leave compiled modules behind."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return lambda: subprocess.run(command, check=True, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def commands() -> dict[str, list[str]]:
    specs = [str(path) for path in sorted((ROOT / "conf" / "model").glob("*.yaml"))]
    script = str(Path(sys.executable).with_name("triptych"))
    return {
        "python -c pass": [sys.executable, "-c", "pass"],
        "triptych --help": [script, "--help"],
        "triptych list": [script, "list"],
        f"triptych validate, {len(specs)} specs": [script, "validate", *specs],
    }


def assembled() -> Callable[[], object]:
    import triptych

    return lambda: triptych.assemble("llama", LLAMA_8B)


def reference() -> Callable[[], object]:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    def build() -> object:
        with torch.device("meta"):
            return LlamaForCausalLM(LlamaConfig(**LLAMA_8B))

    return build


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    calls = {name: process(command) for name, command in commands().items()}
    calls |= {"8B Llama on meta, warm": assembled(), "the same in transformers": reference()}
    found = {name: round(milliseconds(call, options.repeat), 1) for name, call in calls.items()}
    print(json.dumps(found, indent=2) if options.json else "\n".join(f"{k:32} {v:8.1f} ms" for k, v in found.items()))


if __name__ == "__main__":
    main()
