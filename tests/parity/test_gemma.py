"""Gemma 3 with images and PaliGemma equal their references: rows that see each other both ways, and prompts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import triptych
from tests.parity.gemma import GIVEN, Asked, Pair, all_cases
from tests.parity.multimodal import SIZES, picture
from tests.parity.oracle import MATTERS, TOLERANCE, rms_ratio
from triptych.inputs.processing.image_processor import load_image_processor
from triptych.spec.item_facts import ImageFacts

TOKENS = 12
CASES = {case.name: case for case in all_cases()}


@pytest.fixture(scope="module", params=list(CASES.values()), ids=str)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("checkpoint")
    yield Pair.of(request.param, folder)
    shutil.rmtree(folder)


def test_every_tensor_matters_to_the_reference(pair: Pair) -> None:
    asked = pair.ask(images=2)
    found = set(pair.oracle.inert_tensors(asked.ids, below=MATTERS, **asked.media))
    assert found == {name for name in pair.oracle.model.state_dict() if pair.case.is_idle(name)}


@pytest.mark.parametrize("images", [2, 1, 3, 0])
def test_logits_are_those_of_the_reference(pair: Pair, images: int) -> None:
    asked = pair.ask(images=images)
    assert rms_ratio(pair.model.logits(asked.ids, images=asked.images), pair.wanted(asked)) <= TOLERANCE


def test_a_text_becomes_the_prompt_that_the_references_processor_makes_of_it(pair: Pair) -> None:
    for images in (2, 3, 1, 0):
        asked = pair.ask(images=images, seed=images)
        (request,) = pair.model.requests(asked.text, images=asked.images, raw=True)
        assert request.prompt.token_ids == asked.ids


def test_greedy_tokens_are_those_of_the_reference_however_prompts_are_cut(pair: Pair) -> None:
    asked, wanted = clear_choices(pair)
    options: dict[str, Any] = {"raw": True, "max_tokens": TOKENS, "ignore_eos": True}
    (found,) = pair.model.generate(asked.text, images=asked.images, **options)
    assert (found.prompt_token_ids, list(found.token_ids)) == (asked.ids, wanted)
    (request,) = pair.model.requests(asked.text, images=asked.images, raw=True)
    most = max(len(each) for each in request.prompt.blocks)
    engine = triptych.Engine(pair.model, max_num_batched_tokens=most)
    answers = [engine.submit(asked.text, asked.images, **options) for _ in range(3)]
    assert [list(answer.result().token_ids) for answer in answers] == [wanted] * 3


def test_a_packed_batch_with_other_numbers_of_images_equals_each_prompt_alone(pair: Pair) -> None:
    batch = [pair.ask(images=n, seed=n, words=w) for n, w in ((2, 9), (0, 17), (1, 2), (3, 5))]
    prompts, images = [a.text for a in batch], [a.images for a in batch]
    options: dict[str, Any] = {"raw": True, "max_tokens": 6, "ignore_eos": True, "logprobs": 1}
    together = pair.model.generate(prompts, images=images, **options)
    for asked, found in zip(batch, together, strict=True):
        (single,) = pair.model.generate(asked.text, images=asked.images, **options)
        assert found.token_ids == single.token_ids


@pytest.mark.parametrize("size", [*SIZES, (480, 640), (29, 500)], ids=str)
def test_the_count_of_tokens_is_that_of_the_towers_rows(pair: Pair, size: tuple[int, int]) -> None:
    processor = load_image_processor(pair.oracle.folder)
    image = picture(np.random.default_rng(0), size)
    with torch.inference_mode():
        (rows,) = pair.model.module.embed_multimodal(image=[processor(image, name="image")])
    rule = triptych.assemble(None, pair.oracle.config).tokens["image"]
    theirs = pair.processor(text=rule.target, images=image)["input_ids"]
    assert rule.count(ImageFacts(*size), processor.config) == len(rows) == np.sum(np.equal(theirs, rule.placeholder))


@pytest.mark.parametrize(("name", "mistake"), GIVEN["mistakes"])
def test_a_mistake_of_one_line_shows_in_the_logits(name: str, mistake: str, tmp_path: Path) -> None:
    pair = Pair.of(CASES[name], tmp_path)
    asked = pair.ask(images=2)
    idle = [f"{at}inert=['*']" for at in ("", "towers.image.", "language_model.")]
    try:
        model = triptych.load(tmp_path, dtype=torch.float32, overrides=[*idle, mistake])
        found = model.logits(asked.ids, images=asked.images)
    except triptych.TriptychError:
        return  # told before any number is made
    assert rms_ratio(found, pair.wanted(asked)) > 10 * TOLERANCE


def clear_choices(pair: Pair) -> tuple[Asked, list[int]]:
    """A prompt with two images and its greedy continuation, in which no choice is a near tie that rounding decides."""
    for seed in range(20):
        asked = pair.ask(images=2, seed=1000 + seed)
        tokens = pair.oracle.generate(asked.ids, TOKENS, **asked.media)
        longer = {key: value for key, value in asked.media.items() if key != "token_type_ids"}
        if "token_type_ids" in asked.media:
            types = asked.media["token_type_ids"]
            longer["token_type_ids"] = torch.cat((types, types.new_full((1, TOKENS), pair.case.suffix_type)), 1)
        logits = pair.oracle.logits([*asked.ids, *tokens], **longer)[len(asked.ids) - 1 : -1]
        best = logits.topk(2).values
        if pair.placeholder not in tokens and float((best[:, 0] - best[:, 1]).min()) > MATTERS * float(logits.std()):
            return asked, tokens
    raise AssertionError(f"{pair.case}: the logits are too flat for greedy tokens to mean anything")
