"""Images that do not fit their prompt or their model, or are none, are refused in words that say what would do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import triptych
from tests.parity.multimodal import Pair, all_cases, picture
from tests.parity.oracle import build_oracle, tiny_config
from triptych.errors import CheckpointError, InputError

ROWS = 16  # of an image


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair.of(next(all_cases()), tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="module")
def model(pair: Pair) -> Any:
    return pair.model


def images(count: int) -> list[Image.Image]:
    return [picture(np.random.default_rng(seed), (40, 70)) for seed in range(count)]


def refused(model: Any, prompt: Any, given: Any, match: str) -> None:
    """Both ways to give an image to a model say the same."""
    with pytest.raises(InputError, match=match):
        model.generate(prompt, images=given, raw=True, max_tokens=1)
    if not isinstance(prompt, str):
        with pytest.raises(InputError, match=match):
            model.logits(prompt, images=given)


def test_a_model_that_takes_no_images_says_so(tmp_path: Path) -> None:
    config = tiny_config("LlamaForCausalLM")
    assert config is not None
    build_oracle(config, tmp_path, seed=0)
    text_model = triptych.load(tmp_path)
    refused(text_model, [5, 6], images(1), "1 image given, and this model takes none; leave the images out")
    refused(text_model, [5, 6], images(2), "2 images given, and this model takes none")
    with pytest.raises(InputError, match="takes text only; it has no tower for image"):
        text_model.module.embed_multimodal(image=[torch.zeros(3, 56, 56)])


@pytest.mark.parametrize(
    ("text", "given", "match"),
    [
        ("w5 <image> w6 <image>", 1, r"has 2 placeholders \(<image>\) for 1 image; give 1 more image, or take placeh"),
        ("w5 <image>", 0, r"has 1 placeholder \(<image>\) for 0 images; give 1 more image"),
        ("w5 <image> w6", 2, r"has 1 placeholder \(<image>\) for 2 images; write <image> where each image belongs, or"),
        ("<image> <image> <image>", 2, r"has 3 placeholders \(<image>\) for 2 images"),
    ],
)
def test_fewer_and_more_images_than_placeholders_are_refused(
    model: Any, pair: Pair, text: str, given: int, match: str
) -> None:
    refused(model, text, images(given), match)
    ids = [pair.placeholder if word == "<image>" else int(word[1:]) for word in text.split()]
    refused(model, ids, images(given), match)


@pytest.mark.parametrize("count", [ROWS - 1, ROWS + 1, 2 * ROWS])
def test_ids_with_another_number_of_rows_than_the_image_has_are_refused(model: Any, pair: Pair, count: int) -> None:
    wanted = f"has {count} placeholders .* for 1 image, which take {ROWS}; image.* takes {ROWS} and has {count}"
    refused(model, [5, *[pair.placeholder] * count, 6], images(1), wanted)


def test_ids_that_hold_every_row_and_ids_that_hold_one_mean_the_same(model: Any, pair: Pair) -> None:
    short = model.logits([5, pair.placeholder, 6], images=images(1))
    assert torch.equal(short, model.logits([5, *[pair.placeholder] * ROWS, 6], images=images(1)))


def broken_png(folder: Path) -> Path:
    file = folder / "broken.png"
    images(1)[0].save(file)
    file.write_bytes(file.read_bytes()[:60])
    return file


def no_image(folder: Path) -> Path:
    file = folder / "notes.png"
    file.write_text("no image at all")
    return file


UNREADABLE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no such file": (lambda folder: folder / "none.png", r"none.png\): there is no such file"),
    "a folder": (lambda folder: folder, "there is no such file"),
    "text": (no_image, r"notes.png\): cannot be read as an image"),
    "cut short": (broken_png, r"broken.png\): cannot be read as an image"),
    "floats": (lambda _: np.zeros((4, 4, 3)), r"float64 \[4, 4, 3\]; bytes \(uint8, 0 to 255\)"),
    "no pixels": (lambda _: np.zeros((0, 4, 3), np.uint8), "4 x 0 and has no pixels"),
    "five channels": (lambda _: np.zeros((6, 7, 5), np.uint8), "1, 3 or 4 channels"),
    "long and narrow": (lambda _: Image.new("RGB", (900, 2)), "900 x 2; one side may be at most 200 times the other"),
    "too many pixels": (lambda _: Image.new("1", (9000, 9000)), "9000 x 9000, that is 81,000,000 pixels; at most"),
    "a number": (lambda _: 5, "is int; a file, a Pillow image or an array of bytes is needed"),
}


@pytest.mark.parametrize(("make", "match"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_image_is_refused_by_its_place(
    model: Any, tmp_path: Path, make: Callable[[Path], Any], match: str
) -> None:
    refused(model, "<image> w5 <image>", [images(1)[0], make(tmp_path)], r"image\[1\]" + f".*{match}")


def test_models_share_a_cache_and_those_of_one_folder_what_is_in_it(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = triptych.ProcessorCache(2**24)
    media = triptych.MultiModalSettings(processor_cache=cache)
    shorter = "language_model.with.language_model.context=60"
    one, same, other = (triptych.load(pair.oracle.folder, multimodal=media, overrides=o) for o in ([], [], [shorter]))
    wanted = one.logits([5, pair.placeholder, 6], images=images(1))
    with monkeypatch.context() as patch:
        patch.setattr("triptych.inputs.processing.spec_processor.prepare_items", lambda *_: pytest.fail("prepared"))
        assert torch.equal(same.logits([5, pair.placeholder, 6], images=images(1)), wanted)
    assert len(cache) == 1
    other.logits([5, pair.placeholder, 6], images=images(1))
    assert len(cache) == 2


def test_a_cache_that_keeps_no_tensors_is_refused_where_nothing_receives_them(pair: Pair) -> None:
    media = triptych.MultiModalSettings(processor_cache=triptych.SenderCache(2**24))
    told = r"^multimodal\.processor_cache: is a SenderCache, of a processor that stands apart .*: give a ProcessorCache"
    with pytest.raises(triptych.OptionError, match=told):
        triptych.load(pair.oracle.folder, multimodal=media)


def test_several_prompts_take_a_list_of_images_each(model: Any) -> None:
    for given in (images(1), [images(1)], images(1)[0]):
        with pytest.raises(InputError, match="2 prompts take as many lists of images, one for each"):
            model.generate(["<image>", "<image>"], images=given, raw=True)
    with pytest.raises(InputError) as raised:
        model.generate(["<image>", "w5", "<image>"], images=[[], images(1), images(1)], raw=True)
    assert [problem.path for problem in raised.value.problems] == ["prompts[0]"]


def test_images_of_a_processor_for_another_tower_are_refused(pair: Pair, tmp_path: Path) -> None:
    folder = copied(pair, tmp_path)
    file = folder / "processor_config.json"
    config = json.loads(file.read_text())
    config["image_processor"] |= {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}}
    file.write_text(json.dumps(config))
    match = r"image\[0\]: expected shape \(3, 56, 56\), found \(3, 28, 28\)"
    refused(triptych.load(folder), "<image>", images(1), match)


def test_a_checkpoint_without_an_image_processor_says_so(pair: Pair, tmp_path: Path) -> None:
    folder = copied(pair, tmp_path)
    (folder / "processor_config.json").unlink()
    with pytest.raises(CheckpointError, match="has no image processor that can be used"):
        triptych.load(folder).generate("<image>", images=images(1), raw=True)


def test_rows_of_images_count_for_the_length_of_a_prompt(pair: Pair) -> None:
    short = triptych.load(pair.oracle.folder, overrides=["language_model.with.language_model.context=20"])
    assert short.logits([pair.placeholder, 5, 6, 7], images=images(1)).shape[0] == ROWS + 3
    refused(short, [pair.placeholder, 5, 6, 7, 8, 9], images(1), "21 tokens")


def test_a_placeholder_may_lie_past_the_vocabulary(pair: Pair, model: Any, tmp_path: Path) -> None:
    folder = copied(pair, tmp_path)
    (folder / "config.json").write_text(json.dumps(pair.oracle.config | {"image_token_index": 5000}))
    found = triptych.load(folder).logits([5, 5000, 6], images=images(1))
    assert torch.equal(found, model.logits([5, pair.placeholder, 6], images=images(1)))


def copied(pair: Pair, folder: Path) -> Path:
    """A folder with the same files, to change one of them."""
    for file in pair.oracle.folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.mark.parametrize("text", ["w7 <image> w5 w6", "<image> w5 w6"])
def test_a_row_of_an_image_has_no_logprob(model: Any, pair: Pair, text: str) -> None:
    (found,) = model.generate(text, images=images(1), raw=True, max_tokens=1, prompt_logprobs=0)
    is_row = [token == pair.placeholder for token in found.prompt_token_ids]
    assert sum(is_row) == ROWS
    assert [each is None for each in found.prompt_logprobs] == is_row[1:]
    wanted = model.logits(found.prompt_token_ids, images=images(1)).log_softmax(-1)
    for row, each in zip(wanted, found.prompt_logprobs, strict=False):
        assert each is None or each.logprob == pytest.approx(float(row[each.token_id]), abs=1e-5)
