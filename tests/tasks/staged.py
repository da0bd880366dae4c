"""What the processes of a pipeline run: the same questions to the model of each folder, and the answers into a file.

`python -m tests.tasks.staged RANK SIZE FOLDER`: FOLDER has a folder for each model.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from PIL import Image

import triptych
from tests.tasks.hand_written import StagedLlama
from triptych import Stage
from triptych.settings import WHOLE

PROMPTS = [[3, 5, 7], [9] * 40, [4], [*range(2, 25)], [8, 6], [*range(60, 30, -1)], [11, 12, 13, 14]]
TIGHT = 48 * 2**10  # bytes of cache: three requests of 64 tokens fit for one layer of gemma2, and not for two
ENDS = timedelta(seconds=60)


def answers(folder: Path, stage: Stage = WHOLE) -> dict[str, Any]:
    """All that is asked of one model, as it is written to a file."""
    if folder.name == "hand":
        triptych.register_model("StagedForCausalLM", StagedLlama)
    torch.manual_seed(stage.rank)  # nothing may depend on a generator that each process has of its own
    model = triptych.load(folder, dtype=torch.float32, stage=stage)
    if (folder / "labels").exists():
        return {"classify": model.classify(PROMPTS, max_batch=3).tolist()}
    found: dict[str, Any] = {
        "logits": model.logits(PROMPTS[3]).tolist(),
        "greedy": written(model.generate(PROMPTS, max_tokens=6, max_batch=3)),
        "seeded": written(model.generate(PROMPTS, max_tokens=6, max_batch=4, temperature=0.9, seed=11, logprobs=2)),
        "scored": written(model.generate(PROMPTS[:2], max_tokens=2, prompt_logprobs=1)),
        "likelihood": written(model.likelihood(PROMPTS[:3], [[5, 6], [7], [8, 9, 4]])),
        "chunked": written(chunked(model, memory=TIGHT if folder.name == "gemma2" else None)),
        "unseeded": written(model.generate(PROMPTS, max_tokens=6, temperature=2.0)),
    }
    if pictures := [Image.open(file) for file in sorted(folder.glob("*.png"))]:
        images = [[pictures[0]], [], pictures]
        texts = ["w5 <image> w7", "w4", "<image> w3 <image>"]
        found["images"] = written(model.generate(texts, images, raw=True, max_tokens=5, min_tokens=5))
    return found


def chunked(model: triptych.Model, *, memory: int | None) -> list[triptych.Completion]:
    """Prompts in pieces, beside answers that are written; one of them leaves half-way."""
    engine = triptych.Engine(model, max_num_seqs=3, max_num_batched_tokens=8, max_model_len=64, kv_cache_memory=memory)
    asked = [engine.submit(prompt, temperature=0.7, seed=3, max_tokens=7) for prompt in PROMPTS]
    for _ in range(4):
        engine.step()
    asked.pop(1).cancel()
    engine.run()
    return [each.result() for each in asked]


def written(found: Any) -> Any:
    """Answers as a file has them."""
    return json.loads(json.dumps([asdict(each) for each in found]))


def main(rank: int, size: int, folder: Path) -> None:
    """Answer as one of `size` processes."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/group{size}", rank=rank, world_size=size, timeout=ENDS
    )
    found = {each.name: answers(each, Stage(rank, size)) for each in sorted(folder.iterdir()) if each.is_dir()}
    (folder / f"answers.{size}.{rank}.json").write_text(json.dumps(found), encoding="utf-8")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
