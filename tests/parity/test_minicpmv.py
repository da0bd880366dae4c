"""MiniCPM-V equals its description: slices, tower, resampler, prompts and each of its language models."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import triptych
from tests.parity.multimodal import picture
from tests.parity.oracle import MATTERS, TOLERANCE, rms_ratio
from tests.parity.sliced import GIVEN, PLACEHOLDER, SIZES, Pair, tokenizer
from tests.reference.minicpmv import TARGET, MiniCPMV
from triptych.assembly import assemble
from triptych.errors import InputError, SpecError
from triptych.spec.item_facts import ImageFacts
from triptych.weights import Stored, match, tables

TOKENS = 8


@pytest.fixture(scope="module", params=GIVEN["cases"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("checkpoint")
    yield Pair.of(request.param, folder)
    shutil.rmtree(folder)


def test_every_tensor_of_the_tower_and_the_resampler_matters_to_the_reference(pair: Pair) -> None:
    _, images, ids = pair.ask(images=1)
    wanted, idle = pair.wanted(ids, images), set()
    ours = {name: t for name, t in pair.reference.state_dict().items() if not name.startswith("llm.")}
    for name, tensor in ours.items():
        kept = tensor.clone()
        tensor.zero_()
        if rms_ratio(pair.wanted(ids, images), wanted) < MATTERS:
            idle.add(name)
        tensor.copy_(kept)
    assert idle == {n for n in ours if any(fnmatchcase(n, p) for p in GIVEN["idle"])}


def test_rows_of_images_in_one_call_are_those_of_the_reference_of_each(pair: Pair) -> None:
    images = [picture(np.random.default_rng(n), size) for n, size in enumerate((*SIZES, (200, 30), (1, 1)))]
    found = pair.rows(images)
    for image, rows in zip(images, found, strict=True):
        assert rms_ratio(rows, pair.reference.rows(image)) <= TOLERANCE
        (alone,) = pair.rows([image])
        assert rms_ratio(rows, alone) <= TOLERANCE


@pytest.mark.parametrize("size", [*SIZES, (480, 640), (29, 500)], ids=str)
def test_the_count_of_tokens_is_that_of_the_rows_and_of_the_processor(pair: Pair, size: tuple[int, int]) -> None:
    image = picture(np.random.default_rng(0), size)
    (rows,) = pair.rows([image])
    rule = assemble(None, pair.model.config).tokens["image"]
    assert rule.count(ImageFacts(*size), {}) == len(rows) == pair.reference.text_of(image).count("<unk>")


@pytest.mark.parametrize("images", [2, 1, 3, 0])
def test_prompts_and_logits_are_those_of_the_reference(pair: Pair, images: int) -> None:
    text, pictures, ids = pair.ask(images=images)
    (request,) = pair.model.requests(text, images=pictures, raw=True)
    assert list(request.prompt.token_ids) == ids
    assert rms_ratio(pair.model.logits(ids, images=pictures), pair.wanted(ids, pictures)) <= TOLERANCE


def test_images_in_the_other_order_are_another_prompt(pair: Pair) -> None:
    text, (one, two), _ = pair.ask(images=2)
    other = tokenizer()(pair.written(text, [two, one]))["input_ids"]
    assert pair.model.requests(text, images=[two, one], raw=True)[0].prompt.token_ids == tuple(other)
    found = pair.model.logits(other, images=[two, one])
    assert rms_ratio(found, pair.wanted(other, [two, one])) <= TOLERANCE


def test_greedy_tokens_are_those_of_the_reference_alone_and_in_a_batch(pair: Pair) -> None:
    asked = [clear_choices(pair, images=n) for n in (2, 0, 1)]
    texts, images = [a[0] for a in asked], [a[1] for a in asked]
    options: dict[str, Any] = {"raw": True, "max_tokens": TOKENS, "ignore_eos": True}
    together = pair.model.generate(texts, images=images, **options)
    assert [list(each.token_ids) for each in together] == [a[2] for a in asked]
    (alone,) = pair.model.generate(texts[0], images=images[0], **options)
    assert alone == together[0]


def clear_choices(pair: Pair, *, images: int) -> tuple[str, list[Image.Image], list[int]]:
    """A prompt and its greedy continuation, in which no choice is a near tie that rounding decides."""
    for seed in range(20):
        text, pictures, ids = pair.ask(images=images, seed=1000 + seed)
        tokens, clear = list[int](), True
        for _ in range(TOKENS):
            last = pair.wanted([*ids, *tokens], pictures)[-1]
            best = last.topk(2)
            clear = clear and float(best.values[0] - best.values[1]) > MATTERS * float(last.std())
            tokens.append(int(best.indices[0]))
        if clear and PLACEHOLDER not in tokens:
            return text, pictures, tokens
    raise AssertionError(f"{pair.version}: the logits are too flat for greedy tokens to mean anything")


def test_a_prompt_that_another_processor_wrote_stays_as_it_is(pair: Pair) -> None:
    _, pictures, ids = pair.ask(images=2)
    (request,) = pair.model.requests([ids], images=[pictures])
    assert list(request.prompt.token_ids) == ids


@pytest.mark.parametrize("mistake", GIVEN["mistakes"])
def test_a_mistake_of_one_line_shows_in_the_logits(mistake: str, tmp_path: Path) -> None:
    pair = Pair.of("2.5", tmp_path)
    _, pictures, ids = pair.ask(images=2)
    model = triptych.load(tmp_path, dtype=torch.float32, overrides=["inert=['*']", "towers.image.inert=['*']", mistake])
    assert rms_ratio(model.logits(ids, images=pictures), pair.wanted(ids, pictures)) > 10 * TOLERANCE


def test_the_processors_file_comes_first(tmp_path: Path) -> None:
    """Fewer slices, no number, another mean: as the checkpoint's own processor was set to."""
    pair = Pair.of("2.6", tmp_path)
    said = {"image_processor_type": "MiniCPMVImageProcessor", "max_slice_nums": 1, "use_image_id": False}
    means = {"norm_mean": [0.1, 0.2, 0.3], "norm_std": [0.5, 1.0, 2.0]}
    plain = picture(np.random.default_rng(0), SIZES[0])
    (before,) = pair.model.processor(TARGET, {"image": [plain]}).mm_kwargs.get_data()["image"]
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said | means), encoding="utf-8")
    found = triptych.load(tmp_path, dtype=torch.float32).processor(TARGET, {"image": [plain]})
    assert tokenizer().decode(found.prompt_token_ids) == f"<s> <image>{' <unk>' * 4} </image>"
    (after,) = found.mm_kwargs.get_data()["image"]
    shifted = (before[: len(after)].view(-1, 3, 64) + 1) / 2 - torch.tensor(means["norm_mean"])[:, None]
    torch.testing.assert_close(after.view(-1, 3, 64), shifted / torch.tensor(means["norm_std"])[:, None])


def test_vectors_of_another_size_than_the_slices_are_refused(tmp_path: Path) -> None:
    pair = Pair.of("2.6", tmp_path)
    items = pair.model.processor(TARGET, {"image": [picture(np.random.default_rng(0), SIZES[0])]})
    data = items.mm_kwargs.get_data()
    with pytest.raises(InputError, match=r"\[0\]: has \d+ vectors, and its 3 pictures have \d+ places"):
        pair.model.module.embed_multimodal(image=[data["image"][0][:-1]], image_grid=data["image_grid"])


@pytest.mark.parametrize(("version", "placeholder", "tokens"), [("2.5", 128002, 96 * 3), ("2.6", 128244, 64 * 3)])
def test_a_released_file_fits_its_config(version: str, placeholder: int, tokens: int) -> None:
    config = GIVEN["released"][version]
    with torch.device("meta"):
        theirs = MiniCPMV(config, GIVEN["cases"][version]["text"])
    ours = assemble(None, config)
    header = {name: Stored(Path(), tuple(p.shape), p.dtype, 0, 0) for name, p in theirs.named_parameters()}
    assert match(ours.module, tables(ours.plan.scopes), header).findings == ()
    rule = ours.tokens["image"]
    assert (rule.placeholder, rule.count(ImageFacts(480, 640), {})) == (placeholder, tokens)
    assert sum(p.numel() for p in ours.module.parameters()) == sum(p.numel() for p in theirs.parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2.0}, "`version: 2.0`; minicpmv serves '2.5' or 2.5 or '2.6'"),
        ({"vision_encoder": "vit_so400m_patch14_siglip_384.webli"}, "`vision_encoder: .*`, which .* does not read"),
    ],
)
def test_what_is_not_served_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        assemble(None, GIVEN["released"]["2.5"] | change)
