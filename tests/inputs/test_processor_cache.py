"""What processing made of an item is kept by its name: a prompt is the same with a cache and without."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from tests.inputs.test_processing import TARGET, Dummy, Info, Processor, context, image, made
from tests.inputs.test_prompt import RULE
from triptych.errors import InputError, OptionError, Problem, PromptUpdateError
from triptych.inputs.processing import (
    InputProcessingContext,
    MultiModalInputs,
    ProcessorInputs,
    SpecDummyInputsBuilder,
    SpecProcessingInfo,
    SpecProcessor,
    get_dummy_inputs,
)
from triptych.inputs.updates import PromptReplacement
from triptych.settings import MultiModalSettings

BYTES = 4 * 3 * 3 * 4  # of the tensor of the smallest image


def without() -> Processor:
    return made(settings={"processor_cache": 0})


def same(one: MultiModalInputs, other: MultiModalInputs) -> bool:
    """Whether two prompts are alike in all that they give."""
    tensors = [
        {m: [i.get_data()["pixels"] for i in items if i] for m, items in each.mm_kwargs.items()}
        for each in (one, other)
    ]
    alike = all(torch.equal(a, b) for m in tensors[0] for a, b in zip(tensors[0][m], tensors[1][m], strict=True))  # type: ignore[arg-type]
    rest = [(each.prompt_token_ids, each.mm_hashes, each.mm_placeholders, each.used_fallback) for each in (one, other)]
    return alike and rest[0] == rest[1] and tensors[0].keys() == tensors[1].keys()


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([2**20, 5 * BYTES, 2 * BYTES]),
    st.lists(st.lists(st.integers(2, 8), max_size=3), min_size=1, max_size=8),
)
@pytest.mark.filterwarnings("ignore::triptych.inputs.processing.cache.CacheWarning")
def test_every_prompt_is_the_same_with_a_cache_and_without(capacity: int, prompts: list[list[int]]) -> None:
    cached, plain = made(settings={"processor_cache": capacity}), without()
    for heights in prompts:
        text, items = "a<image>" * len(heights), {"image": [image(each) for each in heights]} if heights else {}
        assert same(cached(text, items), plain(text, items))
        assert cached.cache is not None
        assert cached.cache.nbytes <= capacity


def test_an_item_is_processed_once_whatever_stands_beside_it() -> None:
    processor, calls = made(), list[int]()
    call = processor._call_hf_processor

    def counting(text: Any, data: Any, keywords: Any) -> Any:
        calls.append(len(data["images"]))
        return call(text, data, keywords)

    processor._call_hf_processor = counting  # type: ignore[method-assign]
    for heights in ([4], [4, 6], [6, 4], [8, 8, 4], [4]):
        processor("<image>" * len(heights), {"image": [image(each) for each in heights]})
    assert calls == [1, 1, 1]


def test_what_is_known_by_its_id_comes_from_the_cache_and_goes_to_its_own_place() -> None:
    processor = made()
    parse = processor.info.get_data_parser().parse_mm_data
    first = parse({"image": [image(4), image(8)]}, uuids={"image": ["small", "large"]})
    whole = processor.apply(ProcessorInputs("a<image>b<image>", first, {"image": ["small", "large"]}))
    again = parse({"image": [None, image(6), None]}, uuids={"image": ["large", None, "small"]})
    found = processor.apply(ProcessorInputs("<image><image><image>", again, {"image": ["large", None, "small"]}))
    assert [place.get_num_embeds() for place in found.mm_placeholders["image"]] == [4, 3, 2]
    large, _, small = found.mm_kwargs["image"]
    assert [large, small] == [*whole.mm_kwargs["image"]][::-1]
    lost = parse({"image": [None, None]}, uuids={"image": ["small", "lost"]})
    with pytest.raises(
        InputError, match=r"^image\[1\]: is known by its id alone, and no cache holds it; give the image$"
    ):
        processor.apply(ProcessorInputs("<image><image>", lost, {"image": ["small", "lost"]}))
    with pytest.raises(InputError, match=r"image\[0\]: is known by its id alone; give the image"):
        without().apply(
            ProcessorInputs("<image>", parse({"image": [None]}, uuids={"image": ["small"]}), {"image": ["small"]})
        )


class Picky(Processor):
    """It refuses tall images, and writes nonsense for one of seven rows."""

    def _call_hf_processor(self, text: Any, mm_data: Any, mm_kwargs: Any) -> Any:
        tall = [i for i, each in enumerate(mm_data["images"]) if each.height > 8]
        if tall:
            raise InputError([Problem("is tall", f"image[{i}]: top") for i in tall] + [Problem("wants a low one")])
        return super()._call_hf_processor(text, mm_data, mm_kwargs)

    def _get_prompt_updates(self, mm_items: Any, mm_kwargs: Any, out_mm_kwargs: Any) -> Any:
        if any(each.height == 7 for each in mm_items["image"]):
            return [PromptReplacement("image", [TARGET], 7)]  # type: ignore[arg-type]
        return super()._get_prompt_updates(mm_items, mm_kwargs, out_mm_kwargs)


def test_an_error_has_the_number_of_an_item_in_the_prompt_whatever_the_cache_has() -> None:
    processor = made(Picky)
    processor("<image><image>", {"image": [image(2), image(4)]})
    for heights, told in (
        ([9, 4, 10], "image[0]: top: is tall\nimage[2]: top: is tall\nwants a low one"),
        ([9, 9, 4], "image[0]: top: is tall\nwants a low one"),
        ([2, 9], "image[1]: top: is tall\nwants a low one"),
        ([9, 2], "image[0]: top: is tall\nwants a low one"),
    ):
        with pytest.raises(InputError) as caught:
            processor("<image>" * len(heights), {"image": [image(each) for each in heights]})
        assert str(caught.value) == told
    assert caught.value.path == "image[0]: top"
    with pytest.raises(PromptUpdateError, match=r"^image\[2\]\.content: a list of token ids is wanted, not 7$"):
        processor("<image>" * 3, {"image": [image(each) for each in (2, 4, 7)]})


def test_a_file_that_the_cache_has_is_not_decoded_and_one_that_it_dropped_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor, file = made(settings={"processor_cache": 40 * BYTES}), tmp_path / "a.png"
    image(6).save(file)
    first = processor("<image>", {"image": file})
    with monkeypatch.context() as patch:
        patch.setattr("triptych.inputs.images._upright", lambda _: pytest.fail("decoded"))
        assert same(processor("<image>", {"image": str(file)}), first)
    assert processor.cache is not None
    for height in range(2, 20):
        processor("<image>", {"image": image(height)})
    again = processor("<image>", {"image": file})
    assert same(again, first)
    assert again.mm_kwargs["image"][0] is not first.mm_kwargs["image"][0]
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(InputError, match=r"^image\[0\] \(.*a.png\): cannot be read as an image"):
        processor("<image>", {"image": file})


class OwnInfo(Info):
    def __init__(self, ctx: InputProcessingContext) -> None:
        self.ctx = ctx


def test_an_info_that_is_made_in_a_way_of_its_own_remembers_what_was_read(tmp_path: Path) -> None:
    image(4).save(tmp_path / "a.png")
    info = OwnInfo(context())
    processor = Processor(info, Dummy(info))
    first = processor("<image>", {"image": tmp_path / "a.png"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("triptych.inputs.images._upright", lambda _: pytest.fail("decoded"))
        assert same(processor("<image>", {"image": tmp_path / "a.png"}), first)


def test_an_id_is_that_of_one_salt_and_no_other_client_has_what_is_kept_under_it() -> None:
    processor = made()
    parse = processor.info.get_data_parser().parse_mm_data

    def asked(height: int | None, salt: str, uuid: str = "mine") -> MultiModalInputs:
        items = parse({"image": [image(height) if height else None]}, uuids={"image": [uuid]})
        return processor.apply(ProcessorInputs("<image>", items, {"image": [uuid]}, salt=salt))

    first = asked(4, "a")
    assert same(asked(None, "a"), first)
    assert asked(8, "b").mm_placeholders["image"][0].get_num_embeds() == 4
    assert asked(6, "").mm_placeholders["image"][0].get_num_embeds() == 3
    for salt, uuid in (("c", "mine"), ("b", first.mm_hashes["image"][0])):
        with pytest.raises(InputError, match=r"^image\[0\]: is known by its id alone, and no cache holds it"):
            asked(None, salt, uuid)


def test_dummy_items_are_not_kept() -> None:
    processor = made(settings={"processor_cache": 1})  # which would warn of any
    assert get_dummy_inputs(processor, 20, {"image": 1}).mm_kwargs["image"]
    assert processor.cache is not None
    assert len(processor.cache) == 0


def test_other_keywords_are_another_item() -> None:
    processor = made()
    for keywords in ({}, {"images": {"size": 3}}, {"audio": {"size": 3}}):
        processor("<image>", {"image": [image()]}, keywords)
    assert processor.cache is not None
    assert len(processor.cache) == 2


@pytest.mark.parametrize("size", [-1, "1GB", None, [1]])
def test_a_size_that_is_none_is_refused(size: Any) -> None:
    with pytest.raises(OptionError, match="processor_cache: "):
        MultiModalSettings(processor_cache=size)


@pytest.fixture
def clip(tmp_path: Path) -> SpecProcessor:
    """A processor of images of the usual size."""
    CLIPImageProcessorPil().save_pretrained(tmp_path)
    info = SpecProcessingInfo(InputProcessingContext({}, folder=tmp_path, tokens={"image": RULE}))
    return SpecProcessor(info, SpecDummyInputsBuilder(info))


def test_the_second_time_costs_a_fraction_of_the_first(clip: SpecProcessor) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (900, 1200, 3), dtype=np.uint8)
    picture, token = Image.fromarray(pixels), RULE.placeholder
    clip([token], {"image": [Image.new("RGB", (9, 9))]})  # loads the processor
    times = []
    for _ in range(4):
        start = time.perf_counter()
        clip([token], {"image": [picture]})
        times.append(time.perf_counter() - start)
    assert min(times[1:]) < times[0] / 3, times
