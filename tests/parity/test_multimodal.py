"""Models with an image tower equal their references: towers, projectors and prompts, on weights that hide nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import triptych
from tests.parity.multimodal import GIVEN, SIZES, Asked, Pair, all_cases, llava_case, picture
from tests.parity.oracle import LOOSE, MATTERS, TOLERANCE, Oracle, rms_ratio, tiny_config
from tests.parity.text import kind_of
from triptych.errors import CapabilityError, InputError
from triptych.inputs.processing.image_processor import load_image_processor
from triptych.inputs.prompt import Prompt
from triptych.parts.cache import Cache
from triptych.parts.cache_layout import Layout
from triptych.runner.reading import read_prompts, step_of
from triptych.runner.request import RunOptions
from triptych.spec.catalog import catalog, find_family
from triptych.spec.item_facts import ImageFacts

TOKENS = 16
CASES = {case.name: case for case in all_cases()}
ROUNDED = ("clip + llama", "siglip + gemma2", "gemma3", "paligemma", "onevision, siglip + qwen2", "internvl + qwen2")
ROUNDED += ("pixtral + mistral", "idefics3 + llama")


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


def test_images_in_the_other_order_are_another_prompt(pair: Pair) -> None:
    asked = pair.ask(images=2)
    assert rms_ratio(pair.model.logits(asked.ids, images=asked.images[::-1]), pair.wanted(asked)) > MATTERS


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
    most = max([7, *map(len, request.prompt.blocks)])
    engine = triptych.Engine(pair.model, max_num_batched_tokens=most)
    answers = [engine.submit(asked.text, asked.images, **options) for _ in range(3)]
    assert [list(answer.result().token_ids) for answer in answers] == [wanted] * 3


def test_a_packed_batch_with_other_numbers_of_images_equals_each_prompt_alone(pair: Pair) -> None:
    batch = [pair.ask(images=n, seed=n, words=w) for n, w in ((2, 9), (0, 17), (1, 2), (3, 5))]
    for asked, found in zip(batch, logits(pair, batch), strict=True):
        assert rms_ratio(found, pair.wanted(asked)) <= TOLERANCE, len(asked.images)
    prompts, images = [a.text for a in batch], [a.images for a in batch]
    together = pair.model.generate(prompts, images=images, raw=True, max_tokens=8, ignore_eos=True)
    for asked, found in zip(batch, together, strict=True):
        (single,) = pair.model.generate(asked.text, images=asked.images, raw=True, max_tokens=8, ignore_eos=True)
        assert found == single


@pytest.mark.parametrize("count", [1, 7], ids=["token by token", "seven at a time"])
@torch.inference_mode()
def test_a_cache_filled_in_pieces_equals_one_prefill(pair: Pair, count: int) -> None:
    asked = pair.ask(images=2)
    module, ids = pair.model.module, torch.tensor(asked.ids)
    items = module.embed_multimodal(**pair.items(asked.images))
    rows = module.embed_input_ids(ids, items, is_multimodal=ids == pair.placeholder)
    cache = Cache(Layout.whole(module.cache_needs(), pages=1, page=len(ids)), dtype=torch.float32, device="cpu")
    blocks, found = prompts_of(pair, [asked])[0].blocks, []
    for piece in pieces(len(ids), count, blocks):
        own = [block for block in blocks if block.start in piece]
        step = cache.step_in([len(piece)], past=[piece.start], tables=[[(0,)]], slots=(0,), blocks=[own])
        hidden = module(None, step.positions, step=step, inputs_embeds=rows[piece.start : piece.stop])
        found.append(module.compute_logits(hidden))
    assert rms_ratio(torch.cat(found), pair.wanted(asked)) <= TOLERANCE


def pieces(length: int, count: int, blocks: Sequence[range]) -> Iterator[range]:
    """Rows in pieces of `count` at the least, none of which ends within a block."""
    start = 0
    for stop in range(count, length + count, count):
        if start < stop and (stop >= length or not any(stop in block[1:] for block in blocks)):
            yield range(start, min(stop, length))
            start = stop


@pytest.mark.parametrize("size", [*SIZES, (480, 640), (29, 500), (1, 1)], ids=str)
def test_the_count_of_tokens_is_that_of_the_towers_rows(pair: Pair, size: tuple[int, int]) -> None:
    processor = load_image_processor(pair.oracle.folder)
    image = picture(np.random.default_rng(0), size)
    with torch.inference_mode():
        (rows,) = pair.model.module.embed_multimodal(**pair.items([image]))
    theirs = pair.processed(pair.rule.target, [image])["input_ids"]
    count = pair.rule.count(ImageFacts(*size), processor.config)
    assert count == len(rows) == int((theirs == pair.placeholder).sum())


def test_other_numbers_of_rows_than_placeholders_are_refused(pair: Pair) -> None:
    module = pair.model.module
    asked = pair.ask(images=2)
    ids, rows = torch.tensor(asked.ids), module.embed_multimodal(**pair.items(asked.images))
    places = ids == pair.placeholder
    one, two = map(len, rows)
    with pytest.raises(InputError, match=rf"{one} rows of items \({one}\) for {one + two} placeholders"):
        module.embed_input_ids(ids, rows[:1], is_multimodal=places)
    with pytest.raises(InputError, match=rf"\({one} \+ {two} \+ {one}\) for {one + two} placeholders"):
        module.embed_input_ids(ids, [*rows, rows[0]], is_multimodal=places)
    with pytest.raises(InputError, match="without the mask of their places"):
        module.embed_input_ids(ids, rows)


@pytest.mark.parametrize("name", ROUNDED)
def test_in_bfloat16_rounding_costs_no_more_than_in_the_reference(name: str, tmp_path: Path) -> None:
    pair = Pair.of(CASES[name], tmp_path)
    pair.oracle.model.to(torch.bfloat16).save_pretrained(tmp_path)
    theirs_of = type(pair.oracle.model)
    half = theirs_of.from_pretrained(tmp_path, dtype=torch.bfloat16, attn_implementation="eager").eval()
    exact, rounded = pair.oracle.rewritten(pair.oracle.config), Oracle(half, tmp_path, pair.oracle.config)
    asked = pair.ask(images=2)
    wanted = exact.logits(asked.ids, **asked.media)
    media = {key: t.bfloat16() if t.is_floating_point() else t for key, t in asked.media.items()}
    theirs = rounded.logits(asked.ids, **media).float()
    ours = triptych.load(tmp_path)
    assert ours.dtype == torch.bfloat16
    assert rms_ratio(ours.logits(asked.ids, images=asked.images), wanted) < 1.5 * rms_ratio(theirs, wanted)


OUTSIDE = {  # language models that stand in no LLaVA, and why
    "BailingHybrid": "the reference calls the embedding otherwise on disk inside another model than alone",
    "Plamo2": "the reference has none, and LLaVA's config takes no type that it does not know",
    "Step3Text": "the same",
    **dict.fromkeys(
        ["Step3p5", "Ernie4_5_VLMoe"], "the reference's LLaVA, which asks AutoModel, finds no class for it"
    ),
}
SAID = {  # of language models that the reference's LLaVA has only so
    "FalconH1ForCausalLM": {"embedding_multiplier": 1.0},  # which is left out where a model is given embeddings
    "Zamba2ForCausalLM": {"tie_word_embeddings": True},  # else it does not share the blocks either
}
LANGUAGE_MODELS = [
    architecture
    for listed in catalog().values()
    if listed.kind == "language_model"
    for architecture in listed.architectures
    if tiny_config(architecture) and architecture.removesuffix("ForCausalLM") not in OUTSIDE
]
FEW = ["LlamaForCausalLM", "Gemma2ForCausalLM", "GPT2LMHeadModel", "MixtralForCausalLM", "BambaForCausalLM"]
FEW += ["Cohere2ForCausalLM", "FalconH1ForCausalLM", "MiniCPM3ForCausalLM", "Gemma3nForCausalLM", "Gemma4ForCausalLM"]


@pytest.mark.parametrize(
    ("architecture", "family"), [*((name, "Llava") for name in LANGUAGE_MODELS), *((n, "LlavaNext") for n in FEW)]
)
def test_every_language_model_may_stand_in_it(architecture: str, family: str, tmp_path: Path) -> None:
    pair = inside(architecture, family, tmp_path)
    most = TOLERANCE if kind_of(find_family({"architectures": [architecture]})) == "dense" else LOOSE
    for images in (2, 0):
        asked = pair.ask(images=images)
        assert rms_ratio(pair.model.logits(asked.ids, images=asked.images), pair.wanted(asked)) <= most


@pytest.mark.parametrize("architecture", ["Gemma3nForCausalLM", "Gemma4ForCausalLM"])
def test_inputs_of_each_layer_are_there_however_prompts_are_cut(architecture: str, tmp_path: Path) -> None:
    pair = inside(architecture, "Llava", tmp_path)
    asked, options = pair.ask(images=2), {"raw": True, "max_tokens": TOKENS, "ignore_eos": True}
    (wanted,) = pair.model.generate(asked.text, images=asked.images, **options)
    engine = triptych.Engine(pair.model, max_num_batched_tokens=7)
    assert engine.submit(asked.text, asked.images, **options).result().token_ids == wanted.token_ids


def inside(architecture: str, family: str, folder: Path) -> Pair:
    """A language model in LLaVA or its like, untied: the reference knows how to tie the usual names only."""
    of_text = {"tie_word_embeddings": False} | SAID.get(architecture, {})
    change = {"tie_word_embeddings": of_text["tie_word_embeddings"]}
    clip = GIVEN["towers"]["clip"]
    pair = Pair.of(llava_case(architecture, clip, architecture, change, of_text, family=family), folder)
    pair.oracle.model.model.language_model.register_forward_hook(_without_keys)
    return pair


def _without_keys(_module: Any, _given: Any, found: Any) -> None:
    """LLaVA hands on keys and values, which there are none of in what a model gives that has states instead."""
    for name in ("past_key_values", "attentions"):
        if not hasattr(found, name):
            setattr(found, name, None)


@pytest.mark.parametrize(("name", "mistake"), GIVEN["mistakes"])
def test_a_mistake_of_one_line_shows_in_the_logits(name: str, mistake: str, tmp_path: Path) -> None:
    pair = Pair.of(CASES[name], tmp_path)
    asked = pair.ask(images=2)
    # Some of these are refused before any number is made, since they leave a key of a config unread: let them pass.
    idle = [f"{at}inert=['*']" for at in ("", "towers.image.", "language_model.")]
    model = triptych.load(tmp_path, dtype=torch.float32, overrides=[*idle, mistake])
    assert rms_ratio(model.logits(asked.ids, images=asked.images), pair.wanted(asked)) > 10 * TOLERANCE


@pytest.mark.parametrize(("name", "mistake", "says"), GIVEN["refused"])
def test_other_rows_than_the_placeholders_of_an_image_take_are_refused(
    name: str, mistake: str, says: str, tmp_path: Path
) -> None:
    pair = Pair.of(CASES[name], tmp_path)
    model = triptych.load(tmp_path, dtype=torch.float32, overrides=["inert=['*']", mistake])
    asked = pair.ask(images=2)
    with pytest.raises(CapabilityError, match=says):
        model.logits(asked.ids, images=asked.images)


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("onevision, siglip + qwen2", "1"),
        ("onevision, siglip + qwen3, one layer before the last, rows of one tile", "null"),
    ],
)
def test_another_number_of_rows_than_the_reference_counts_is_refused(name: str, most: str, tmp_path: Path) -> None:
    pair = Pair.of(CASES[name], tmp_path)
    change = f"towers.image.with.items.size.most={most}"
    model = triptych.load(tmp_path, dtype=torch.float32, overrides=["inert=['*']", change])
    asked = pair.ask(images=2)
    with pytest.raises(InputError, match=r"image\[\d\] takes \d+ and has \d+, as token \d+ shows first"):
        model.logits(asked.ids, images=asked.images)


def clear_choices(pair: Pair) -> tuple[Asked, list[int]]:
    """A prompt with two images and its greedy continuation, in which no choice is a near tie that rounding decides."""
    for seed in range(20):
        asked = pair.ask(images=2, seed=1000 + seed)
        tokens = pair.oracle.generate(asked.ids, TOKENS, **asked.media)
        longer = dict(asked.media)
        if (types := asked.media.get("token_type_ids")) is not None:
            longer["token_type_ids"] = torch.cat((types, types.new_full((1, TOKENS), pair.case.means.answer_type)), 1)
        logits = pair.oracle.logits([*asked.ids, *tokens], **longer)[len(asked.ids) - 1 : -1]
        best = logits.topk(2).values
        if pair.placeholder not in tokens and float((best[:, 0] - best[:, 1]).min()) > MATTERS * float(logits.std()):
            return asked, tokens
    raise AssertionError(f"{pair.case}: the logits are too flat for greedy tokens to mean anything")


def prompts_of(pair: Pair, batch: Sequence[Asked]) -> list[Prompt]:
    """As our own processor makes them."""
    texts, images = [asked.text for asked in batch], [asked.images for asked in batch]
    return [request.prompt for request in pair.model.requests(texts, images=images, raw=True)]


@torch.inference_mode()
def logits(pair: Pair, batch: Sequence[Asked]) -> list[Tensor]:
    """Logits [T, V] of each prompt, all of them read in one call."""
    prompts, run = prompts_of(pair, batch), RunOptions(device=torch.device("cpu"), dtype=torch.float32)
    hidden = read_prompts(pair.model.module, prompts, step_of(prompts, device=run.device), run=run)
    return list(pair.model.module.compute_logits(hidden).split([len(prompt.token_ids) for prompt in prompts]))
