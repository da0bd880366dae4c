"""A process that may take no more memory: steps become smaller, and what fits nowhere is told with what takes less."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MIB = 2**20
START = """
import json, logging, resource, sys
import torch, triptych

torch.set_num_threads(1)
logging.basicConfig(level=logging.WARNING, format="%(message)s")


def leave(bytes):
    size = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize"))
    soft = resource.RLIM_INFINITY if bytes is None else size * 1024 + bytes
    resource.setrlimit(resource.RLIMIT_AS, (soft, resource.RLIM_INFINITY))


def made():
    sizes = ["sample.hidden_size=128", "sample.intermediate_size=2048", "sample.max_position_embeddings=8192"]
    return triptych.random_init("llama", overrides=sizes)


"""


def run(code: str) -> tuple[Any, str]:
    """What a process prints as JSON, and what it says beside it."""
    done = subprocess.run(
        [sys.executable, "-c", START + code], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


needs_limits = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no limit of a process's memory here")


@needs_limits
def test_a_step_that_finds_no_memory_is_computed_in_parts() -> None:
    found, told = run("""
model = made()
prompts, asked = [[*range(1, 250)] * 12, [7] * 900], {"max_tokens": 3, "ignore_eos": True}
engine = triptych.Engine(model, kv_cache_memory=2**24, max_model_len=4000)
engine.submit([1, 2], **asked).result()
leave(24 * 2**20)
answers = [engine.submit(prompt, **asked) for prompt in prompts]
engine.run()
leave(None)
wanted = [completion.token_ids for completion in model.generate(prompts, **asked)]
print(json.dumps([[answer.result().token_ids for answer in answers], wanted]))
""")
    assert found[0] == found[1]
    assert told.startswith("a step of 3888 tokens, of 2 requests, finds no memory ([enforce fail at ")
    assert "DefaultCPUAllocator: can't allocate memory: you tried to allocate" in told
    assert "max_num_batched_tokens=1944 takes less; what runs begins again, in steps of 1944" in told


@needs_limits
def test_a_cache_and_weights_that_find_no_memory_are_told_with_what_takes_less() -> None:
    found, _ = run("""
from triptych.errors import OutOfMemoryError

def told(make):
    try:
        make()
    except OutOfMemoryError as error:
        return [str(error), isinstance(error, MemoryError)]

model = made()
leave(64 * 2**20)
cache = told(lambda: triptych.Engine(model, kv_cache_memory=2**30))
leave(8 * 2**20)
weights = told(lambda: triptych.random_init("llama", overrides=["sample.intermediate_size=100000"]))
leave(None)
print(json.dumps([cache, weights]))
""")
    (cache, _), (weights, is_memory_error) = found
    assert cache.startswith("a cache of 256.0 MiB finds no memory (")
    assert cache.endswith("); a smaller kv_cache_memory, max_model_len or max_num_seqs takes less")
    assert weights.startswith("llama in torch.float32 on cpu finds no memory (")
    assert weights.endswith("); a smaller dtype or another device may do")
    assert is_memory_error
