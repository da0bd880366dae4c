"""`kernels` reaches the ops from every door."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from triptych.errors import KernelError, OptionError
from triptych.kernels import choice
from triptych.tasks import Engine, Model, random_init

DOORS: dict[str, Callable[[Model], Any]] = {
    "generate": lambda model: model.generate("a", max_tokens=1),
    "stream": lambda model: [*model.stream("a", max_tokens=1)],
    "logits": lambda model: model.logits([1, 2]),
    "likelihood": lambda model: model.likelihood("a", "b"),
    "engine": lambda model: Engine(model, kv_cache_memory=2**20).submit("a", max_tokens=1).result(),
}


@pytest.mark.parametrize("door", DOORS)
def test_kernels_that_cannot_run_are_told_at_every_door(door: str) -> None:
    with pytest.raises(KernelError, match=r"rms_norm: kernels are `triton`, but tensors are on cpu"):
        DOORS[door](random_init("llama", kernels="rms_norm=triton"))
    DOORS[door](random_init("llama", kernels={"default": "auto", "rms_norm": "reference"}))


def test_nothing_stays_chosen_after_a_call() -> None:
    model = random_init("llama", kernels="triton")
    events = model.stream("a", max_tokens=2)
    with pytest.raises(KernelError):
        next(events)
    assert choice.kernel_for("rms_norm", torch.ones(2, 8), torch.ones(8)) is None


def test_a_wrong_word_is_told_before_anything_is_loaded() -> None:
    with pytest.raises(OptionError, match=r"kernels\.rms_nrom: no such op; did you mean 'rms_norm'"):
        random_init("llama", kernels="rms_nrom=triton")
