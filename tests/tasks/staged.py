"""What the processes of a pipeline run: the same questions to the model of each folder, and the answers into a file.

`python -m tests.tasks.staged RANK SIZE FOLDER`: FOLDER has a folder for each model.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
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


def drawn(stage: Stage) -> dict[str, Any]:
    """Answers drawn in every way, of a model with random weights, and the most bytes that went to all for a token."""
    model = triptych.random_init("llama", seed=2, overrides=["sample.num_hidden_layers=4"], stage=stage)
    engine = triptych.Engine(model, max_num_seqs=4, max_num_batched_tokens=16)
    hot: Any = {"temperature": 1.3, "max_tokens": 12, "seed": 5}
    asked: list[Any] = [
        {"temperature": 0.0, "max_tokens": 9, "repetition_penalty": 1.4, "frequency_penalty": 0.2},
        {**hot, "top_k": 5, "top_p": 0.9, "logprobs": 3},
        {**hot, "regex": "[a-c]{4,9}"},
        {**hot, "min_p": 0.02, "logprobs": 0},
        {**hot, "min_tokens": 3, "stop_token_ids": [*range(128)], "logit_bias": {7: 2.5}},
    ]
    answers = [engine.submit("which one is it?", **options) for options in asked]
    with heard() as sizes:
        engine.run()
    return {"answers": written([each.result() for each in answers]), "bytes": max(sizes, default=0)}


@contextmanager
def heard() -> Iterator[list[int]]:
    """The bytes of every tensor that goes from one process to all of them."""
    sizes, broadcast = list[int](), dist.broadcast

    def counted(tensor: torch.Tensor, *rest: Any, **named: Any) -> Any:
        sizes.append(tensor.nbytes)
        return broadcast(tensor, *rest, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dist, "broadcast", counted)
        yield sizes


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
    found["drawn"] = drawn(Stage(rank, size))
    (folder / f"answers.{size}.{rank}.json").write_text(json.dumps(found), encoding="utf-8")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
