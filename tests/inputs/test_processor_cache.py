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

from tests.inputs.test_processing import Processor, image, made
from tests.inputs.test_prompt import RULE
from triptych.errors import InputError, OptionError
from triptych.inputs.items import MultiModalKwargsItem
from triptych.inputs.kinds import MultiModalBatchedField, MultiModalFieldElem
from triptych.inputs.processing import (
    InputProcessingContext,
    MultiModalInputs,
    ProcessorInputs,
    SpecDummyInputsBuilder,
    SpecProcessingInfo,
    SpecProcessor,
)
from triptych.inputs.processing.cache import CacheWarning, ProcessedItem, ProcessorCache
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


def test_other_keywords_are_another_item() -> None:
    processor = made()
    for keywords in ({}, {"images": {"size": 3}}, {"audio": {"size": 3}}):
        processor("<image>", {"image": [image()]}, keywords)
    assert processor.cache is not None
    assert len(processor.cache) == 2


def item(numbers: int, *, of: torch.Tensor | None = None) -> ProcessedItem:
    tensor = torch.zeros(numbers) if of is None else of
    return ProcessedItem(MultiModalKwargsItem({"x": MultiModalFieldElem(tensor, MultiModalBatchedField())}), ())


def test_what_was_not_asked_for_longest_makes_room() -> None:
    cache = ProcessorCache(3 * 40)
    for name in "abc":
        cache.put("image", name, item(10))
    cache.get("image", ["a"])
    cache.put("image", "d", item(10))
    assert [each is not None for each in cache.get("image", list("abcd"))] == [True, False, True, True]
    cache.put("image", "d", item(5))
    assert (cache.nbytes, len(cache)) == (100, 3)
    assert cache.get("video", ["a"]) == [None]


def test_an_item_over_the_capacity_is_told_and_not_kept() -> None:
    cache = ProcessorCache(39)
    with pytest.warns(CacheWarning, match="an item of image takes 40 bytes, and the cache of processed items has 39"):
        cache.put("image", "a", item(10))
    assert (cache.nbytes, len(cache)) == (0, 0)


def test_an_item_does_not_keep_the_memory_of_those_it_was_processed_with() -> None:
    cache, batch = ProcessorCache(1000), torch.zeros(50, 10)
    cache.put("image", "a", item(10, of=batch[3]))
    (kept,) = cache.get("image", ["a"])
    assert kept is not None
    tensor = kept.data.get_data()["x"]
    assert isinstance(tensor, torch.Tensor)
    assert tensor.untyped_storage().nbytes() == 40


@pytest.mark.parametrize("size", [-1, "1GB"])
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
