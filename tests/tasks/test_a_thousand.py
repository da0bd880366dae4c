"""A thousand requests of every kind at once, some of them wrong or wanted no longer: nothing is lost, nothing stays."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import triptych
from tests.parity.multimodal import Pair, all_cases, picture
from triptych.errors import InputError, TriptychError
from triptych.runner.entry import Entry

COUNT = 1000
OPTIONS: list[dict[str, Any]] = [
    {"max_tokens": 3},
    {"max_tokens": 6, "temperature": 1.0, "seed": 1, "top_k": 20},
    {"max_tokens": 9, "temperature": 0.7, "seed": 2, "top_p": 0.9, "logprobs": 1},
    {"max_tokens": 5, "repetition_penalty": 1.2, "logit_bias": {7: 2.0}},
    {"max_tokens": 4, "prompt_logprobs": 0, "min_p": 0.1, "temperature": 1.0, "seed": 3},
]
TEXTS = ["w5 w6", "w5 w6 w7 " * 9, "w9", "w1 w2 w3 w4 w5 w6 w7 w8 " * 3]
BROKEN = 4  # the number of a picture on which the encoder fails
PICTURES = 6


@dataclass(frozen=True)
class Asked:
    """A text, the numbers of its pictures, and the number of its options."""

    text: int
    pictures: tuple[int, ...]
    options: int

    @property
    def fails(self) -> bool:
        return BROKEN in self.pictures


class Crowd:
    """A model, what may be asked of it, and what each question alone is answered."""

    def __init__(self, model: triptych.Model) -> None:
        self.model = model
        self.pictures = [picture(np.random.default_rng(n), (40, 70)) for n in range(PICTURES)]
        self._answers: dict[Asked, tuple[int, ...]] = {}

    def given(self, asked: Asked) -> tuple[str, list[Image.Image] | None, Mapping[str, Any]]:
        text = TEXTS[asked.text] + " <image>" * len(asked.pictures)
        return text, [self.pictures[n] for n in asked.pictures] or None, OPTIONS[asked.options]

    def submit(self, engine: triptych.Engine, asked: Asked) -> triptych.Answering:
        text, images, options = self.given(asked)
        return engine.submit(text, images, raw=True, ignore_eos=True, **options)

    def wanted(self, asked: Asked) -> tuple[int, ...]:
        if asked not in self._answers:
            engine = triptych.Engine(self.model, max_model_len=128)
            self._answers[asked] = self.submit(engine, asked).result().token_ids
        return self._answers[asked]

    def drawn(self, chance: random.Random) -> Asked:
        count = chance.choice([0, 0, 1, 1, 2])
        pictures = tuple(chance.randrange(PICTURES) for _ in range(count))
        return Asked(chance.randrange(len(TEXTS)), pictures, chance.randrange(len(OPTIONS)))


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Crowd:
    made = Pair.of(next(all_cases()), tmp_path_factory.mktemp("llava")).model
    made.module.double()  # how many rows are computed together may not change a token
    encode = made.module.embed_multimodal
    made.module.embed_multimodal = lambda image: encode(image=image.double())
    model = triptych.Model(made.module, made.config, folder=None, tokenizer=made.tokenizer, processor=made.processor)
    return Crowd(model)


@pytest.fixture
def engine(crowd: Crowd, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> triptych.Engine:
    """One with a small cache, whose encoder fails on one picture; its steps overlap if the test says so."""
    encode = crowd.model.module.embed_multimodal
    (asked,) = crowd.model.requests("<image>", [crowd.pictures[BROKEN]], raw=True)
    assert asked.prompt.features[0].data is not None
    broken = asked.prompt.features[0].data["image"].data

    def fails_on_one(**items: Any) -> Any:
        if any(torch.equal(each, broken) for each in items["image"]):
            raise ValueError("broken")
        return encode(**items)

    monkeypatch.setattr(crowd.model.module, "embed_multimodal", fails_on_one)
    return made(crowd, overlap=request.param)


def made(crowd: Crowd, *, overlap: bool) -> triptych.Engine:
    row = 2 * sum(need.width for need in crowd.model.module.cache_needs().values())
    sizes = {"max_num_seqs": 12, "max_num_batched_tokens": 100, "encoder_cache_memory": 3 * 2**12}
    return triptych.Engine(crowd.model, kv_cache_memory=300 * row * 4, max_model_len=128, overlap=overlap, **sizes)


def check(crowd: Crowd, asked: Asked, answer: triptych.Answering) -> None:
    """It is what it is alone, or fails as it has to, or was wanted no longer."""
    if answer.cancelled:
        return
    if asked.fails:
        with pytest.raises(TriptychError, match=r"^image\[\d\]: it cannot be encoded: ValueError: broken"):
            answer.result()
    else:
        assert answer.result().token_ids == crowd.wanted(asked), asked


def check_empty(engine: triptych.Engine) -> None:
    engine.run()
    runner = engine._runner
    assert not engine._news
    assert not runner.busy
    assert runner._state.pool.available == runner._sizes.layout.pages
    assert not runner._state.sampler._options
    assert not runner._state.sampler._masks
    assert sorted(runner._state.scheduler._slots) == [*range(runner._sizes.seqs)]
    kept = runner._state.encoded
    assert kept.nbytes == sum(rows.untyped_storage().nbytes() for rows in kept._rows.values())
    assert kept.nbytes <= 3 * 2**12 or len(kept) == 1


@pytest.mark.parametrize("engine", [False], indirect=True)
def test_a_thousand_requests_are_answered_fail_or_are_cancelled_and_nothing_is_left(
    crowd: Crowd, engine: triptych.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(0)
    (tmp_path / "no.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    seen: list[weakref.ref[Entry]] = []
    admit = engine._runner.admit
    monkeypatch.setattr(engine._runner, "admit", lambda entry: (seen.append(weakref.ref(entry)), admit(entry)))
    waiting: list[tuple[Asked, triptych.Answering]] = []
    for _ in range(COUNT):
        asked = crowd.drawn(chance)
        waiting.append((asked, crowd.submit(engine, asked)))
        if chance.random() < 0.05:
            with pytest.raises(InputError, match=r"no\.png"):
                engine.submit("<image>", tmp_path / "no.png", raw=True)
        if chance.random() < 0.2:
            chance.choice(waiting)[1].cancel()
        if chance.random() < 0.6:
            engine.step()
    engine.run()
    monkeypatch.undo()
    for asked, answer in waiting:
        check(crowd, asked, answer)
    check_empty(engine)
    gc.collect()
    assert len(seen) == COUNT
    assert [entry for reference in seen if (entry := reference()) is not None] == []


@pytest.mark.parametrize("engine", [True], indirect=True)
def test_so_are_those_of_a_thousand_tasks(
    crowd: Crowd, engine: triptych.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(1)
    answers: list[tuple[Asked, triptych.Answering]] = []

    async def ask(asked: Asked, patience: int | None) -> None:
        answer = crowd.submit(engine, asked)
        answers.append((asked, answer))
        try:
            async for _ in answer:
                if patience is not None and (patience := patience - 1) < 0:
                    answer.cancel()
        except TriptychError:
            assert asked.fails

    async def all_of_them() -> int:
        tasks = [asyncio.create_task(ask(crowd.drawn(chance), chance.choice([None, None, 0, 2]))) for _ in range(COUNT)]
        await asyncio.gather(*tasks)
        return len(asyncio.all_tasks())

    assert asyncio.run(all_of_them()) == 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("asyncio")]
    monkeypatch.undo()
    for asked, answer in answers:
        check(crowd, asked, answer)
    check_empty(engine)
