"""One engine with one model in processes of its own, so that its memory is its own: asked in lines of JSON.

Started by cpu.py: python cpu_worker.py ENGINE FOLDER DTYPE THREADS, by the Python that has the engine. The first line
out says that it has answered a prompt, and what it holds; then each line in, `{"ids": [[...], ...], "new": 128}`, gives
a line out with the seconds of a call that makes one token and of a call that makes `new`. What engines print goes to
stderr.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Ids = list[list[int]]
Generate = Callable[[Ids, int], Ids]
PROMPTS, LONGEST = 32, 1024  # what a peer that plans ahead is told to expect: prompts at a time, tokens of one


@dataclass(frozen=True)
class Loaded:
    """A model that answers; `held`: the MB of its weights, and the bytes of a row of its cache, where it tells."""

    generate: Generate
    held: dict[str, float] = field(default_factory=dict)


def load_triptych(folder: str, dtype: str, threads: int) -> Loaded:
    import torch

    import triptych
    from triptych.parts.cache_layout import row_size

    torch.set_num_threads(threads)
    model = triptych.load(folder, device="cpu", dtype=dtype)

    def generate(ids: Ids, new: int) -> Ids:
        return [list(c.token_ids) for c in model.generate(ids, max_tokens=new, ignore_eos=True)]

    weights = [*model.module.parameters(), *model.module.buffers()]  # each once; their numbers are not looked at
    row = row_size(model.module.cache_needs()) * model.dtype.itemsize
    return Loaded(generate, {"weights_mb": sum(each.nbytes for each in weights) / 1e6, "row_bytes": row})


def load_transformers(folder: str, dtype: str, threads: int) -> Loaded:
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(threads)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype), attn_implementation="sdpa")
    model.generation_config.eos_token_id = None  # the end of text is ignored

    def generate(ids: Ids, new: int) -> Ids:
        prompt = torch.tensor(ids)
        mask = torch.ones_like(prompt)
        out = model.generate(prompt, attention_mask=mask, max_new_tokens=new, do_sample=False, pad_token_id=0)
        return out[:, prompt.shape[1] :].tolist()  # type: ignore[no-any-return]

    return Loaded(generate)


def load_vllm(folder: str, dtype: str, threads: int, *, eager: bool) -> Loaded:
    del threads  # OMP_NUM_THREADS says it
    from vllm import LLM, SamplingParams  # type: ignore[import-not-found]

    model = LLM(
        model=folder,
        dtype=dtype,
        enforce_eager=eager,
        gpu_memory_utilization=0.3,
        enable_prefix_caching=False,
        max_model_len=LONGEST,
        max_num_seqs=PROMPTS,
    )

    def generate(ids: Ids, new: int) -> Ids:
        options = SamplingParams(temperature=0, max_tokens=new, ignore_eos=True, detokenize=False)
        answers = model.generate([{"prompt_token_ids": each} for each in ids], options, use_tqdm=False)
        return [list(answer.outputs[0].token_ids) for answer in answers]

    return Loaded(generate)


ENGINES: dict[str, Callable[[str, str, int], Loaded]] = {
    "triptych": load_triptych,
    "transformers": load_transformers,
    "vllm": lambda *asked: load_vllm(*asked, eager=True),
    "vllm-compiled": lambda *asked: load_vllm(*asked, eager=False),
}


def main() -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    engine, folder, dtype, threads = sys.argv[1:]
    loaded = ENGINES[engine](folder, dtype, int(threads))
    loaded.generate([[1]], 1)
    print(json.dumps({**loaded.held, "peak_mb": peak_mb()}), file=out, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        found = timed(loaded.generate, asked["ids"], asked["new"])
        print(json.dumps({**found, "peak_mb": peak_mb()}), file=out, flush=True)


def timed(generate: Generate, ids: Ids, new: int) -> dict[str, Any]:
    """Seconds of a call for one token and of a call for `new`; and the tokens, to compare two engines by."""
    start = time.perf_counter()
    generate(ids, 1)
    middle = time.perf_counter()
    tokens = generate(ids, new)
    end = time.perf_counter()
    assert all(len(row) == new for row in tokens), [len(row) for row in tokens]
    return {"first_s": middle - start, "all_s": end - middle, "tokens": tokens}


def peak_mb() -> float:
    """The most memory that this process and those below it have held, in MB; pages of files count once, not in each."""
    found = [status(process) for process in family(os.getpid())]
    files = [each["RssFile"] + each["RssShmem"] for each in found]
    return (sum(each["VmHWM"] for each in found) - sum(files) + max(files)) * 1024 / 1e6


def family(process: int) -> Iterator[int]:
    """A process and all below it, as Linux tells."""
    yield process
    for thread in Path(f"/proc/{process}/task").iterdir():
        for child in (thread / "children").read_text(encoding="ascii").split():
            yield from family(int(child))


def status(process: int) -> dict[str, int]:
    """Sizes in KiB by their names."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    pairs = (line.split(":", 1) for line in lines if line.endswith(" kB"))
    return {name: int(value.split()[0]) for name, value in pairs}


if __name__ == "__main__":
    main()
