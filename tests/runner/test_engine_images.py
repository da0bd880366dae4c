"""Images in the engine: split between chunks, kept by their content, and told apart where prompts are alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import triptych
from tests.parity.multimodal import Pair, all_cases, picture
from triptych.errors import InputError, OptionError, TriptychError
from triptych.inputs.items import MultiModalFeatureSpec
from triptych.kernels.attention import Reach
from triptych.parts.cache_layout import Group, Layout
from triptych.runner.checks import check_whole_items
from triptych.runner.encoded import EncodedItems
from triptych.runner.engine import Engine
from triptych.runner.request import RunOptions
from triptych.runner.sizes import Sizes

DRAWN = {"max_tokens": 8, "temperature": 1.0, "seed": 2, "ignore_eos": True}
TEXT = "w5 w6 <image> w7 <image> w8"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return Pair.of(next(all_cases()), tmp_path_factory.mktemp("llava")).model


def pictures(*seeds: int) -> list[Image.Image]:
    return [picture(np.random.default_rng(seed), (40, 70)) for seed in seeds]


def engine(model: Any, *, tokens: int = 8192, page: int = 128) -> Engine:
    run = RunOptions(device=torch.device("cpu"), dtype=torch.float32, max_num_batched_tokens=tokens)
    layout = Layout.whole(model.module.cache_needs(), pages=512 // page, page=page)
    return Engine(model.module, sizes=Sizes(layout, 4, 128), run=run)


def answered(running: Engine, model: Any, *seeds: int) -> list[int]:
    (request,) = model.requests(TEXT, pictures(*seeds), raw=True, **DRAWN)
    number = running.add(request)
    found = []
    while running.busy:
        found += [event.token_id for event in running.step() if event.request == number]
    return found


def calls(model: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each call of the encoder gets from now on."""
    found = []
    encode = model.module.embed_multimodal

    def counted(**items: Any) -> Any:
        rows = encode(**items)
        found.append(len(rows))
        return rows

    monkeypatch.setattr(model.module, "embed_multimodal", counted)
    return found


@pytest.mark.parametrize("tokens", [3, 10, 20])
@pytest.mark.parametrize("page", [16, 128])
def test_an_image_that_is_split_between_chunks_is_that_image(model: Any, tokens: int, page: int) -> None:
    whole = answered(engine(model), model, 1, 2)
    assert answered(engine(model, tokens=tokens, page=page), model, 1, 2) == whole
    assert answered(engine(model), model, 1, 3) != whole


def test_where_a_model_says_so_an_image_is_read_in_one_step(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (request,) = model.requests(TEXT, pictures(1, 2), raw=True, **DRAWN)
    sizes, found = [len(rows) for rows in request.prompt.item_ranges()], list[int]()
    embed = model.module.embed_input_ids

    def counted(ids: Tensor, rows: Any, *, is_multimodal: Tensor) -> Any:
        found.append(int(is_multimodal.sum()))
        return embed(ids, rows, is_multimodal=is_multimodal)

    monkeypatch.setattr(model.module, "embed_input_ids", counted)
    whole = answered(engine(model), model, 1, 2)
    monkeypatch.setattr(model.module, "whole_items", True, raising=False)
    found.clear()
    assert answered(engine(model, tokens=max(sizes), page=16), model, 1, 2) == whole
    assert [count for count in found if count] == sizes
    told = rf"has an item of {max(sizes)} tokens, which are read in one step, and a step has {max(sizes) - 1}; "
    told += f"max_num_batched_tokens={max(sizes)} would fit"
    few = triptych.Engine(model, max_num_batched_tokens=max(sizes) - 1)
    with pytest.raises(InputError, match=told):
        few.submit(TEXT, pictures(1, 2), raw=True)
    layout = Layout(model.module.cache_needs(), (Group((), Reach(4), 16, 1),), pages=1, slots=1)
    with pytest.raises(InputError, match="and the cache has no room for them; a smaller one, or more kv_cache_memory"):
        check_whole_items(model.module, [request.prompt], tokens=max(sizes), layout=layout)


def test_an_image_is_encoded_once(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    counted, running = calls(model, monkeypatch), engine(model, tokens=5)
    answered(running, model, 1, 2)
    assert sum(counted) == 2
    answered(running, model, 2, 1)
    answered(running, model, 1, 1)
    assert sum(counted) == 2


@pytest.mark.parametrize("page", [16, 128])
def test_prompts_that_differ_in_an_image_share_what_stands_before_it(model: Any, page: int) -> None:
    wanted = {seeds: answered(engine(model), model, *seeds) for seeds in ((1, 2), (1, 3), (4, 2))}
    running = engine(model, page=page)
    for _ in range(2):
        for seeds, answer in wanted.items():
            assert answered(running, model, *seeds) == answer


def test_rows_are_kept_within_a_budget_and_what_a_step_needs_is_there_all_the_same(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = calls(model, monkeypatch)
    (request,) = model.requests(TEXT, pictures(1, 2), raw=True)
    features = request.prompt.features
    kept = EncodedItems(model.module, budget=1, device=torch.device("cpu"))
    first, second = encoded(kept, features)
    assert not torch.equal(first, second)
    assert (len(kept), kept.nbytes) == (1, second.nbytes)
    assert torch.equal(encoded(kept, features[1:])[0], second)
    assert counted == [2]
    assert torch.equal(encoded(kept, features[:1])[0], first)
    assert counted == [2, 1]


@pytest.mark.parametrize(("room", "again"), [(2, 0), (1, 1)])
def test_what_an_engine_keeps_of_images_is_within_its_option(
    model: Any, monkeypatch: pytest.MonkeyPatch, room: int, again: int
) -> None:
    (request,) = model.requests(TEXT, pictures(1, 2), raw=True, **DRAWN)
    (rows, _) = encoded(EncodedItems(model.module, budget=1, device=torch.device("cpu")), request.prompt.features)
    running = triptych.Engine(model, encoder_cache_memory=room * rows.nbytes)
    running.submit(TEXT, pictures(1, 2), raw=True, **DRAWN).result()
    assert running._runner._state.encoded.nbytes == room * rows.nbytes
    counted = calls(model, monkeypatch)
    for seeds in ((2, 2), (1, 1)):
        running.submit(TEXT, pictures(*seeds), raw=True, **DRAWN).result()
    assert sum(counted) == again


def test_no_room_for_images_is_refused(model: Any) -> None:
    with pytest.raises(OptionError, match="encoder_cache_memory: is 0; a whole number from 1 on is needed"):
        triptych.Engine(model, encoder_cache_memory=0)


def encoded(kept: EncodedItems, features: Sequence[MultiModalFeatureSpec]) -> list[Tensor]:
    return [rows for rows in kept.rows(features) if isinstance(rows, Tensor)]


def test_what_is_kept_of_a_batch_keeps_no_more_than_its_own_rows_in_memory(model: Any) -> None:
    (request,) = model.requests(TEXT, pictures(1, 2), raw=True)
    kept = EncodedItems(model.module, budget=2**28, device=torch.device("cpu"))
    kept.rows(request.prompt.features)
    rows = [*kept._rows.values()]
    assert kept.nbytes == sum(each.untyped_storage().nbytes() for each in rows) == sum(each.nbytes for each in rows)


def test_an_image_that_cannot_be_encoded_ends_the_requests_that_have_it(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = [(1, 2), (3, 9), (4, 5), (9, 1), (6, 7)]
    wanted = [model.generate(TEXT, pictures(*each), raw=True, **DRAWN)[0] for each in seeds]
    (request,) = model.requests(TEXT, pictures(9, 9), raw=True)
    assert request.prompt.features[0].data is not None
    bad = request.prompt.features[0].data["image"].data
    encode = model.module.embed_multimodal

    def fails_on_one(**items: Any) -> Any:
        if any(torch.equal(each, bad) for each in items["image"]):
            raise ValueError("too bright")
        return encode(**items)

    monkeypatch.setattr(model.module, "embed_multimodal", fails_on_one)
    running = triptych.Engine(model)
    answers = [running.submit(TEXT, pictures(*each), raw=True, **DRAWN) for each in seeds]
    for number, place in ((1, 1), (3, 0)):
        with pytest.raises(TriptychError, match=rf"^image\[{place}\]: it cannot be encoded: ValueError: too bright$"):
            answers[number].result()
    assert [answers[n].result() for n in (0, 2, 4)] == [wanted[n] for n in (0, 2, 4)]
    with pytest.raises(TriptychError, match=r"^prompts\[1\]\.image\[0\]: it cannot be encoded"):
        model.generate([TEXT, TEXT], [pictures(1, 2), pictures(9, 2)], raw=True)
    monkeypatch.undo()
    assert running.submit(TEXT, pictures(3, 9), raw=True, **DRAWN).result() == wanted[1]


def test_a_broken_image_is_told_of_its_request_alone(model: Any, tmp_path: Path) -> None:
    engine = triptych.Engine(model)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 100)
    (wanted,) = model.generate(TEXT, pictures(1, 2), raw=True, **DRAWN)
    first = engine.submit(TEXT, pictures(1, 2), raw=True, **DRAWN)
    for wrong in (tmp_path / "broken.png", tmp_path / "nowhere.png"):
        with pytest.raises(InputError, match=wrong.stem):
            engine.submit(TEXT, [*pictures(1), wrong], raw=True)
    with pytest.raises(InputError, match="2 placeholders"):
        engine.submit(TEXT, pictures(1), raw=True)
    assert first.result() == wanted
