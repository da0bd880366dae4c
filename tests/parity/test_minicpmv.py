"""MiniCPM-V equals its description: slices, tower, resampler, prompts and each of its language models."""

from __future__ import annotations

import copy
import json
import shutil
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Sequence as InTurn
from tokenizers.pre_tokenizers import Split
from tokenizers.processors import TemplateProcessing
from torch import Tensor
from transformers import PreTrainedTokenizerFast

import triptych
from tests.parity.multimodal import picture
from tests.parity.oracle import MATTERS, TOLERANCE, redraw, rms_ratio, tiny_config
from tests.reference.minicpmv import MARKS, TARGET, MiniCPMV
from triptych.assembly import assemble
from triptych.errors import InputError, SpecError
from triptych.spec.item_facts import ImageFacts
from triptych.weights import Stored, match, tables

GIVEN: dict[str, Any] = yaml.safe_load((Path(__file__).resolve().parent / "minicpmv.yaml").read_text("utf-8"))
SIZES = ((40, 70), (9, 14), (90, 130), (130, 55))  # height, width: two slices, none, six, three
PLACEHOLDER = GIVEN["shared"]["image_token_id"]
TOKENS = 8


@dataclass(frozen=True)
class Pair:
    """The reference of a version, and ours, loaded from the file that it saved."""

    version: str
    reference: MiniCPMV
    folder: Path

    @classmethod
    def of(cls, version: str, folder: Path) -> Pair:
        case = GIVEN["cases"][version]
        text = tiny_config(case["text"])
        assert text is not None
        config = text | copy.deepcopy(GIVEN["shared"]) | case["config"]
        with torch.random.fork_rng():
            torch.manual_seed(0)
            reference = MiniCPMV(config, case["text"]).eval().requires_grad_(False)
        redraw(reference, torch.Generator().manual_seed(zlib.crc32(version.encode())))
        save_file({name: t.contiguous() for name, t in reference.state_dict().items()}, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        tokenizer().save_pretrained(folder)
        return cls(version, reference, folder)

    @cached_property
    def model(self) -> Any:
        return triptych.load(self.folder, dtype=torch.float32)

    def ask(self, *, images: int, seed: int = 0, words: int = 9) -> tuple[str, list[Image.Image], list[int]]:
        """A text of random words with images between them, the images, and the ids that the description has for it."""
        draw = np.random.default_rng([zlib.crc32(self.version.encode()), seed])
        pieces = [f"w{n}" for n in draw.integers(20, 200, words)]
        for place in sorted(draw.choice(len(pieces) + 1, images, replace=False), reverse=True):
            pieces.insert(place, TARGET)
        text, pictures = " ".join(pieces), [picture(draw, size) for size in SIZES[:images]]
        return text, pictures, tokenizer()(self.written(text, pictures))["input_ids"]

    def written(self, text: str, images: Sequence[Image.Image]) -> str:
        older = self.version == "2.5"
        for number, image in enumerate(images):
            shown = self.reference.older_text_of(image) if older else self.reference.text_of(image)
            text = text.replace(TARGET, shown if older else f"<image_id>{number}</image_id>{shown}", 1)
        return text

    def wanted(self, ids: Sequence[int], images: Sequence[Image.Image]) -> Tensor:
        return self.reference.logits(ids, images, placeholder=PLACEHOLDER)

    def rows(self, images: Sequence[Image.Image]) -> list[Tensor]:
        """Of several images in one call, by our processor, tower and projector."""
        prepared = self.model.processor(TARGET * len(images), {"image": list(images)})
        with torch.inference_mode():
            found: list[Tensor] = self.model.module.embed_multimodal(**prepared.mm_kwargs.get_data())
        return found


def tokenizer() -> PreTrainedTokenizerFast:
    """A word for each id, some for numbers, a new line and marks; a text begins with the token 1."""
    marks = {240 + n: text for n, text in enumerate((*MARKS.values(), "<image_id>", "</image_id>")) if text != "<unk>"}
    special = {0: "<none>", 1: "<s>", PLACEHOLDER: "<unk>"} | marks
    found = {n: f"w{n}" for n in range(256)} | special | {2: "\n", 3: "0", 4: "1", 5: "2"}
    backend = Tokenizer(WordLevel({word: number for number, word in found.items()}, unk_token="<none>"))
    backend.pre_tokenizer = InTurn([Split(" ", "removed"), Split(Regex("\n"), "isolated")])
    backend.add_special_tokens([*special.values()])
    backend.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<none>", bos_token="<s>")


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
