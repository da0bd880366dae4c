"""Two processes of a pipeline of which one does not do its part; what they are told goes into a file.

`python -m tests.tasks.staged_wrong RANK FOLDER`, with a `llama` and a `hand` in the folder.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

import triptych
from tests.tasks.hand_written import HandLlama
from triptych import Stage
from triptych.errors import TriptychError

PATIENCE = timedelta(seconds=4)


def told(ask: Callable[[], object]) -> str:
    """What the error of a call says."""
    try:
        ask()
    except TriptychError as error:
        return str(error)
    return "nothing is wrong"


@contextmanager
def planted_nan(model: triptych.Model) -> Iterator[None]:
    """The last row of the head gives no number, on the stage that has it."""
    head = [value for name, value in model.module.named_parameters() if name.endswith("head.weight")]
    kept = [value[-1].clone() for value in head]
    for value in head:
        value[-1] = torch.nan
    yield
    for value, row in zip(head, kept, strict=True):
        value[-1] = row


@contextmanager
def group(folder: Path, name: str, rank: int) -> Iterator[None]:
    """A process group of its own."""
    where = f"file://{folder}/group.{name}"
    dist.init_process_group("gloo", init_method=where, rank=rank, world_size=2, timeout=PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def main(rank: int, folder: Path) -> None:
    """Be one of two."""
    triptych.register_model("WholeForCausalLM", HandLlama)
    mine, file, found = Stage(rank, 2), folder / f"told.{rank}.json", dict[str, object]()
    with group(folder, "differs", rank):
        found["rank"] = told(lambda: triptych.load(folder / "llama", stage=Stage(1 - rank, 2)))
        found["whole"] = told(lambda: triptych.load(folder / "hand", stage=mine))
        model = triptych.load(folder / "llama", stage=mine)
        with planted_nan(model):
            found["undrawn"] = told(lambda: model.generate([3, 5, 7], max_tokens=2))
        found["drawn"] = told(lambda: model.generate([3, 5, 7], max_tokens=2))
        found["differs"] = told(lambda: model.generate([3, 5, 7 + rank], max_tokens=2))
    with group(folder, "sleeps", rank):
        if rank:
            time.sleep(PATIENCE.total_seconds() + 3)
        else:
            found["sleeps"] = told(lambda: model.generate([3, 5, 7], max_tokens=2))
    with group(folder, "dies", rank):
        if rank:
            file.write_text(json.dumps(found), encoding="utf-8")
            os._exit(3)
        before = time.monotonic()
        found["dies"] = told(lambda: model.generate([3, 5, 7], max_tokens=2))
        found["after"] = time.monotonic() - before
    file.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
