"""The memory of a step is known before it is taken: what is imagined is what a real one takes, byte for byte."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import triptych
from tests.parity.grids import all_cases as all_grids
from tests.parity.multimodal import Pair, all_cases
from tests.parity.timed_videos import pair_of
from tests.runner.counting import Counting
from triptych.errors import OptionError
from triptych.kernels.linear import packed
from triptych.runner import profile
from triptych.runner.imagined import Imagined, LiveBytes
from triptych.runner.profile import forward_bytes, items_bytes, step_bytes, with_room
from triptych.runner.request import RunOptions
from triptych.runner.sizes import ON_HOST

RUN = RunOptions(device=torch.device("cpu"), dtype=torch.float32)
MIB = 2**20


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return Pair.of(next(all_cases()), tmp_path_factory.mktemp("llava")).model


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("spec", ["llama", "gemma2", "mistral", "gpt2"])
def test_a_forward_takes_the_bytes_that_were_imagined(
    spec: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "_works", lambda _: False)
    module, run = triptych.random_init(spec, dtype=dtype).module, replace(RUN, dtype=dtype)
    for lengths in ([200], [64, 64], [30, 50]):
        assert forward_bytes(module, run, lengths) == forward_bytes(module, run, lengths, mode=LiveBytes())
    imagined = forward_bytes(module, run, [60], past=100)
    assert imagined == pytest.approx(forward_bytes(module, run, [60], past=100, mode=LiveBytes()), rel=0.01)


@pytest.mark.parametrize("spec", ["llama", "gpt2"])
def test_a_forward_of_packed_weights_takes_no_more(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch counts a plain matrix that is turned for a product as if it were new."""
    monkeypatch.setattr(packed, "_works", lambda dtype: dtype == torch.float32)
    module = triptych.random_init(spec).module
    for lengths in ([200], [64, 64], [30, 50]):
        imagined = forward_bytes(module, RUN, lengths)
        taken = forward_bytes(module, RUN, lengths, mode=LiveBytes())
        assert imagined - sum(each.nbytes for each in module.parameters()) <= taken <= imagined


def test_an_encoder_takes_the_bytes_that_were_imagined(llava: Any) -> None:
    asked = (llava.module, llava.processor, replace(RUN, max_num_batched_tokens=64))
    imagined = items_bytes(*asked, longest=64)
    assert imagined == items_bytes(*asked, longest=64, mode=LiveBytes())
    assert imagined < items_bytes(llava.module, llava.processor, RUN, longest=128)


@pytest.mark.parametrize("rate", [0.0, 0.6])
def test_a_long_video_takes_the_bytes_that_were_imagined(rate: float, tmp_path: Path) -> None:
    folder = pair_of(next(case for case in all_grids() if case.name == "qwen3_vl"), tmp_path).oracle.folder
    model = triptych.load(folder, dtype=torch.float32, multimodal=triptych.MultiModalSettings(video_pruning=rate))
    asked = (model.module, model.processor, replace(RUN, max_num_batched_tokens=64))
    imagined = items_bytes(*asked, longest=200)
    assert imagined == items_bytes(*asked, longest=200, mode=LiveBytes())
    assert imagined > items_bytes(*asked, longest=100), "it is as long as a prompt holds it"


def test_live_bytes_count_what_is_there_at_a_time_and_shared_memory_once() -> None:
    with LiveBytes() as counted:
        first = torch.zeros(1000, dtype=torch.float32)
        halves = first.view(2, 500).unbind()
        del first
        second = torch.zeros(500) + 0
        assert counted.now == 4000 + 2000
        del halves, second
    assert (counted.now, counted.peak) == (0, 4000 + 2000 + 2000)


@pytest.mark.parametrize("spec", ["llama", "gpt2"])
def test_a_model_that_was_imagined_is_as_it_was(spec: str) -> None:
    model, fresh = (triptych.random_init(spec, seed=3) for _ in range(2))
    longest = model.module.context
    assert step_bytes(model.module, RUN, longest=longest)
    for part in model.module.modules():
        assert not any(isinstance(value, Imagined) for value in vars(part).values())
    assert model.generate("one", max_tokens=5) == fresh.generate("one", max_tokens=5)


def test_a_step_of_more_tokens_takes_more() -> None:
    module = triptych.random_init("llama").module
    sizes = [step_bytes(module, replace(RUN, max_num_batched_tokens=n), longest=512) for n in (64, 512, 4096)]
    assert None not in sizes
    assert sizes == sorted(set(sizes))


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> dict[str, int | None]:
    """What a system says is free."""
    found: dict[str, int | None] = {"bytes": None}
    monkeypatch.setattr(profile, "free_bytes", lambda _: found["bytes"])
    return found


def test_the_cache_gets_what_is_left_beside_the_largest_step(free: dict[str, int | None]) -> None:
    module = triptych.random_init("llama").module
    of_a_request = 512 * 512
    many = replace(RUN, max_batch=200)
    step = step_bytes(module, many, longest=512)
    assert step is not None
    assert with_room(module, RUN, longest=512).cache_bytes is None, "nobody knows what is free"
    free["bytes"] = 2 * 200 * of_a_request
    assert with_room(module, many, longest=512).cache_bytes == 200 * of_a_request
    free["bytes"] = (step + of_a_request) * 10 // 9
    assert with_room(module, many, longest=512).cache_bytes == pytest.approx(of_a_request, abs=2)
    free["bytes"] = step
    size = f"{step / MIB:,.1f} MiB"
    with pytest.raises(OptionError) as raised:
        with_room(module, many, longest=512)
    assert str(raised.value) == (
        f"max_num_batched_tokens: a step of 8192 tokens takes {size}, and {size} are free; smaller ones take less"
    )
    assert with_room(module, replace(RUN, cache_bytes=5), longest=512).cache_bytes == 5
    free["bytes"] = 2**50
    assert with_room(module, replace(RUN, max_batch=10**6), longest=512).cache_bytes == ON_HOST


def test_room_is_left_for_items_too(free: dict[str, int | None], llava: Any) -> None:
    run = replace(RUN, encoder_cache_bytes=10 * MIB, max_batch=10**6)
    free["bytes"] = 400 * MIB
    text = with_room(llava.module, run, longest=128).cache_bytes
    both = with_room(llava.module, run, longest=128, processor=llava.processor).cache_bytes
    assert text is not None
    assert both is not None
    assert both <= text - 10 * MIB


def test_a_model_that_looks_at_numbers_gets_a_share_of_what_is_free(
    free: dict[str, int | None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    free["bytes"] = 100 * MIB
    assert with_room(Counting(), replace(RUN, max_batch=10**6), longest=512).cache_bytes == int(80 * MIB)
    assert "Counting cannot be imagined (" in caplog.text
