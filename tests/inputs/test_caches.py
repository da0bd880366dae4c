"""One cache for several processors, and one in two halves: what is sent, what is kept, and what is asked for again."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import triptych
from tests.inputs.test_processing import Dummy, Info, Processor, context, image
from triptych import MissingItemsError, MultiModalFeatureSpec, OptionError, ProcessorCache, ReceiverCache, SenderCache
from triptych.inputs.items import MultiModalKwargsItem
from triptych.inputs.kinds import MultiModalBatchedField, MultiModalFieldElem
from triptych.inputs.processing import CacheWarning, MultiModalInputs, ProcessorInputs
from triptych.inputs.processing.cache import ProcessedItem

SMALL = 4 * 3 * 3 * 2  # bytes of the tensor of an image of two lines


class Counting(Processor):
    """It counts the images that it is called with."""

    calls = 0

    def _call_hf_processor(self, text: Any, mm_data: Any, mm_kwargs: Any) -> Any:
        self.calls += len(mm_data["images"])
        return super()._call_hf_processor(text, mm_data, mm_kwargs)


class Other(Counting):
    """Another class, which may make another thing of an image."""


def made(cache: object, kind: type[Counting] = Counting, **changes: Any) -> Counting:
    info = Info(context(settings={"processor_cache": cache}, **changes))
    return kind(info, Dummy(info))


def ask(processor: Processor, *heights: int) -> MultiModalInputs:
    return processor("<image>" * len(heights), {"image": [image(each) for each in heights]})


def by_id(processor: Processor, uuid: str, height: int) -> MultiModalInputs:
    items = processor.info.get_data_parser().parse_mm_data({"image": [image(height)]})
    return processor.apply(ProcessorInputs("<image>", items, {"image": [uuid]}))


def item(numbers: int, *, of: torch.Tensor | None = None) -> ProcessedItem:
    tensor = torch.zeros(numbers) if of is None else of
    return ProcessedItem(MultiModalKwargsItem({"x": MultiModalFieldElem(tensor, MultiModalBatchedField())}), ())


def test_processors_that_read_alike_find_what_either_made_and_share_the_room() -> None:
    cache = ProcessorCache(2**20)
    one, other = made(cache, reader="r"), made(cache, reader="r")
    ask(one, 4, 6)
    ask(other, 6, 8)
    assert (one.calls, other.calls, len(cache)) == (2, 1, 3)
    assert one.cache is other.cache is cache


@pytest.mark.parametrize(
    "changes", [{"reader": "s"}, {"reader": ""}, {"kind": Other}, {"dtype": torch.float16}], ids=str
)
def test_processors_that_read_otherwise_share_the_room_and_no_item_not_even_by_its_id(changes: dict[str, Any]) -> None:
    cache = ProcessorCache(2**20)
    one, other = made(cache, reader="r"), made(cache, **{"reader": "r", **changes})
    by_id(one, "mine", 4)
    found = by_id(other, "mine", 8)
    assert (one.calls, other.calls, len(cache)) == (1, 1, 2)
    assert found.mm_placeholders["image"][0].get_num_embeds() == 4
    assert by_id(one, "mine", 4).mm_placeholders["image"][0].get_num_embeds() == 2


def test_two_that_say_nothing_of_how_they_read_share_no_item() -> None:
    cache = ProcessorCache(2**20)
    one, other = made(cache), made(cache)
    ask(one, 4)
    ask(other, 4)
    assert (one.calls, other.calls) == (1, 1)


def test_models_of_one_spec_share_items_and_those_with_overrides_do_not() -> None:
    readers = [
        triptych.random_init("llava", overrides=given).processor for given in ([], [], ["tokens.image.count==2"])
    ]
    one, same, other = [processor.info.ctx.reader for processor in readers if processor]
    assert one == same != other
    assert one


def test_a_shared_cache_is_bounded_by_one_capacity() -> None:
    cache = ProcessorCache(8 * SMALL)
    one, other = made(cache), made(cache)
    for height in (2, 4, 2, 4, 6):
        ask(one, height)
        ask(other, height)
        assert 0 < cache.nbytes <= cache.capacity


def test_a_cache_without_room_is_off_and_what_is_none_is_refused() -> None:
    assert made(ProcessorCache(0)).cache is None
    assert made(0).cache is None

    class NoCache:
        capacity = 3

    with pytest.raises(OptionError, match=r"^processor_cache: bytes, or a ProcessorCache are wanted, not <"):
        made(NoCache())


def test_an_item_over_the_capacity_is_told_and_not_kept() -> None:
    for cache in (ProcessorCache(39), SenderCache(39)):
        with pytest.warns(
            CacheWarning, match="an item of image takes 40 bytes, and the cache of processed items has 39"
        ):
            cache.put(("r", "image", "a"), item(10))
        assert (cache.nbytes, len(cache)) == (0, 0)


def test_an_item_does_not_keep_the_memory_of_those_it_was_processed_with() -> None:
    cache, batch = ProcessorCache(1000), torch.zeros(50, 10)
    cache.put(("r", "image", "a"), item(10, of=batch[3]))
    with cache.using([("r", "image", "a")]) as found:
        ((_, kept),) = found.items()
    assert kept.data is not None
    tensor = kept.data.get_data()["x"]
    assert isinstance(tensor, torch.Tensor)
    assert tensor.untyped_storage().nbytes() == 40


def test_marks_are_released_where_an_item_is_refused() -> None:
    class Refusing(Counting):
        def _call_hf_processor(self, text: Any, mm_data: Any, mm_kwargs: Any) -> Any:
            if mm_data["images"][0].height == 8:
                raise KeyError("boom")
            return super()._call_hf_processor(text, mm_data, mm_kwargs)

    cache = ProcessorCache(10 * SMALL)
    processor = made(cache, Refusing)
    ask(processor, 2)
    with pytest.raises(triptych.InputError, match="boom"):
        ask(processor, 2, 8)
    assert not cache._shelf._marks
    assert len(cache) == 1


def data_of(features: Sequence[MultiModalFeatureSpec]) -> list[torch.Tensor | None]:
    return [each.data.get_data()["pixels"] if each.data else None for each in features]  # type: ignore[misc]


def alike(one: Sequence[MultiModalFeatureSpec], other: Sequence[MultiModalFeatureSpec]) -> bool:
    pairs = zip(data_of(one), data_of(other), strict=True)
    told = [[(f.modality, f.identifier, f.mm_position, f.mm_hash) for f in each] for each in (one, other)]
    return told[0] == told[1] and all(a is not None and b is not None and torch.equal(a, b) for a, b in pairs)


def test_no_data_is_sent_of_what_the_receiver_has_and_the_prompt_is_the_same() -> None:
    sender, receiver, plain = made(SenderCache(2**20)), ReceiverCache(2**20), made(0)
    for heights, sent in (((4, 6), [True, True]), ((6, 4, 8), [False, False, True]), ((8, 8), [False, False])):
        found, whole = ask(sender, *heights), ask(plain, *heights)
        assert [each is not None for each in data_of(found.features())] == sent
        assert (found.prompt_token_ids, found.mm_hashes) == (whole.prompt_token_ids, whole.mm_hashes)
        assert found.mm_placeholders == whole.mm_placeholders
        assert alike(receiver.receive(found.features()), whole.features())


def test_the_sender_keeps_no_tensors() -> None:
    cache = SenderCache(2**20)
    ask(made(cache), 4)
    (kept,) = (value for value, _ in cache._shelf._values.values())
    assert kept.data is None
    assert kept.updates


PROMPTS = st.lists(st.lists(st.integers(2, 8), min_size=1, max_size=3), min_size=1, max_size=10)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([2, 4, 8, 30]), PROMPTS, st.randoms())
@pytest.mark.filterwarnings("ignore::triptych.inputs.processing.cache.CacheWarning")
def test_both_drop_alike_and_no_prompt_misses_anything(
    room: int, prompts: list[list[int]], draw: random.Random
) -> None:
    cache, receiver = SenderCache(room * SMALL), ReceiverCache(room * SMALL)
    sender, plain = made(cache), made(0)
    for heights in prompts:
        features = ask(sender, *heights).features()
        got = receiver.receive(draw.sample(features, len(features)))
        assert alike(sorted(got, key=lambda each: each.mm_position.offset), ask(plain, *heights).features())
        assert [key[1:] for key in cache._shelf._values] == [*receiver._shelf._values]
        assert cache.nbytes == receiver.nbytes <= room * SMALL


def test_a_receiver_that_has_lost_items_names_all_and_gets_them_once_the_sender_forgets() -> None:
    cache, receiver = SenderCache(2**20), ReceiverCache(2**20)
    sender = made(cache)
    receiver.receive(ask(sender, 2).features())
    ask(sender, 4, 6)  # which never comes
    found = ask(sender, 4, 2, 6)
    four, _, six = found.mm_hashes["image"]
    with pytest.raises(MissingItemsError) as caught:
        receiver.receive(found.features())
    assert caught.value.hashes == (four, six)
    lost = "came without data, and none are kept here; let the sender forget it, and prepare the prompt again, as "
    assert str(caught.value) == f"image: {lost}{four}\nimage: {lost}{six}"
    cache.forget(caught.value.hashes)
    again = ask(sender, 4, 2, 6)
    assert [each is not None for each in data_of(again.features())] == [True, False, True]
    assert alike(receiver.receive(again.features()), ask(made(0), 4, 2, 6).features())


def test_an_item_that_is_too_large_for_both_is_sent_each_time() -> None:
    sender, receiver = made(SenderCache(SMALL)), ReceiverCache(SMALL)
    for _ in range(2):
        with pytest.warns(CacheWarning):
            found = ask(sender, 8)
        with pytest.warns(
            CacheWarning, match="an item of image takes 288 bytes, and the cache of processed items has 72"
        ):
            (got,) = receiver.receive(found.features())
        assert got.data is not None
    assert len(receiver) == 0


def test_a_sender_serves_one_processor() -> None:
    cache = SenderCache(2**20)
    made(cache, reader="r")
    made(cache, reader="r")
    with pytest.raises(OptionError, match=r"^a SenderCache serves one processor; give each its own, and a receiver"):
        made(cache, reader="s")
