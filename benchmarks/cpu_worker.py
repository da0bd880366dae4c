"""One engine with one model in a process of its own, so that its memory is its own: asked in lines of JSON.

Started by cpu.py: python cpu_worker.py ENGINE FOLDER DTYPE THREADS. The first line out says how long importing and
loading took; then each line in, `{"ids": [[...], ...], "new": 128}`, gives a line out with the seconds of a call that
makes one token and of a call that makes `new`.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

Ids = list[list[int]]
Generate = Callable[[Ids, int], Ids]


def load_triptych(folder: str, dtype: str) -> Generate:
    import torch

    import triptych

    model = triptych.load(folder, device="cpu", dtype=getattr(torch, dtype))

    def generate(ids: Ids, new: int) -> Ids:
        return [list(c.token_ids) for c in model.generate(ids, max_tokens=new, ignore_eos=True)]

    return generate


def load_transformers(folder: str, dtype: str) -> Generate:
    import torch
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype), attn_implementation="sdpa")
    model.generation_config.eos_token_id = None  # the end of text is ignored

    def generate(ids: Ids, new: int) -> Ids:
        prompt = torch.tensor(ids)
        mask = torch.ones_like(prompt)
        out = model.generate(prompt, attention_mask=mask, max_new_tokens=new, do_sample=False, pad_token_id=0)
        return out[:, prompt.shape[1] :].tolist()  # type: ignore[no-any-return]

    return generate


ENGINES = {"triptych": load_triptych, "transformers": load_transformers}


def main() -> None:
    engine, folder, dtype, threads = sys.argv[1:]
    os.environ.update(TRANSFORMERS_VERBOSITY="error", HF_HUB_DISABLE_PROGRESS_BARS="1", HF_HUB_OFFLINE="1")
    generate, imported, loaded = prepare(engine, folder, dtype, int(threads))
    say({"import_s": imported, "load_s": loaded, "peak_mb": peak_mb()})
    for line in sys.stdin:
        asked = json.loads(line)
        say({**timed(generate, asked["ids"], asked["new"]), "peak_mb": peak_mb()})


def prepare(engine: str, folder: str, dtype: str, threads: int) -> tuple[Generate, float, float]:
    """The engine's call, and the seconds that importing what it needs and loading the model took."""
    start = time.perf_counter()
    import torch

    __import__(engine)
    if engine == "transformers":
        pass  # transformers imports lazily: do it now
    torch.set_num_threads(threads)
    middle = time.perf_counter()
    generate = ENGINES[engine](folder, dtype)
    return generate, middle - start, time.perf_counter() - middle


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
    """The most memory that this process has held so far, in MB (Linux counts it in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def say(reply: dict[str, Any]) -> None:
    print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
