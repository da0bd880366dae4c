"""Items: cut out of what a processor gives, grouped for the encoder, and read as one batch."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from triptych.errors import InputError, InputTypeError, ItemError
from triptych.inputs.batches import group_and_batch_mm_kwargs
from triptych.inputs.fields import MultiModalFieldConfig
from triptych.inputs.items import MultiModalFeatureSpec, MultiModalKwargsItem, MultiModalKwargsItems, report_ignored
from triptych.inputs.kinds import MultiModalFieldElem
from triptych.inputs.nested import NestedTensors, same_tensors

config = MultiModalFieldConfig
DTYPES = [torch.float32, torch.float16, torch.int64, torch.bool]


@pytest.fixture(autouse=True)
def nothing_is_reported_yet() -> None:
    report_ignored.cache_clear()


def numbered(*shape: int) -> Tensor:
    return torch.arange(torch.Size(shape).numel()).view(shape)


def items_of(data: Mapping[str, object], fields: Mapping[str, config], modality: str = "image") -> list[Any]:
    return [*MultiModalKwargsItems.from_hf_inputs(data, fields)[modality]]


def same_data(found: Mapping[str, NestedTensors], wanted: Mapping[str, NestedTensors]) -> bool:
    return found.keys() == wanted.keys() and all(same_tensors(found[key], wanted[key]) for key in wanted)


# cutting


def test_items_hold_their_part_of_every_field_of_their_modality() -> None:
    data = {
        "pixels": numbered(5, 2),
        "grid": np.array([[1, 2], [1, 3]]),
        "scale": 0.5,
        "frames": [numbered(3), numbered(4), numbered(5)],
    }
    fields = {
        "pixels": config.flat_from_sizes("image", torch.tensor([2, 3])),
        "frames": config.batched("video"),
        "grid": config.batched("image"),
        "scale": config.shared("image", 2),
    }
    items = MultiModalKwargsItems.from_hf_inputs(data, fields)
    assert list(items) == ["image", "video"]
    assert [len(items[modality]) for modality in items] == [2, 3]
    wanted = {"pixels": numbered(5, 2)[2:], "grid": torch.tensor([1, 3]), "scale": torch.tensor(0.5)}
    last = items["image"][1]
    assert last is not None
    assert same_data(last.get_data(), wanted)
    assert {key: elem.field for key, elem in last.items()} == {key: fields[key].field for key in wanted}


@pytest.mark.parametrize("none", [None, [], torch.empty(0, 3)])
def test_what_is_none_or_empty_is_left_out(none: object) -> None:
    fields = {"a": config.batched("image"), "b": config.batched("image"), "c": config.batched("video")}
    found = MultiModalKwargsItems.from_hf_inputs({"a": numbered(2), "b": none, "c": none}, fields)
    assert [dict(item.get_data()) for item in found["image"] if item] == [{"a": 0}, {"a": 1}]
    assert list(found) == ["image"]


def test_what_no_field_names_is_ignored_and_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    data = {"a": numbered(1), "stray_ids": numbered(1), "odd_mask": numbered(3)}
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            (item,) = items_of(data, {"a": config.batched("image")})
            assert list(item) == ["a"]
    assert caplog.messages == ["the processor gives odd_mask, stray_ids, for which no field is declared; ignored"]


def test_nothing_is_reported_where_every_value_has_its_field(caplog: pytest.LogCaptureFixture) -> None:
    items_of({"a": numbered(1)}, {"a": config.batched("image"), "b": config.batched("image")})
    assert not caplog.messages


def test_all_mistakes_of_one_input_are_told_at_once() -> None:
    data = {
        "a": numbered(2),
        "b": numbered(3),
        "c": numbered(3),
        "d": numbered(4),
        "e": 1,
        "f": numbered(1),
        "g": numbered(2),
    }
    fields = {
        "a": config.batched("image"),
        "b": config.batched("image"),
        "c": config.flat_from_sizes("audio", torch.tensor([1, 1])),
        "e": config.batched("audio"),
        "f": config.batched("video"),
        "g": config.shared("video", 0),
        "d": config.batched("audio"),
    }
    with pytest.raises(InputError) as raised:
        MultiModalKwargsItems.from_hf_inputs(data, fields)
    assert not isinstance(raised.value, TypeError)
    assert str(raised.value).splitlines() == [
        "c: sizes of items add up to 2, and dim 0 has 3",
        "e: is a single number; one value for each item is wanted",
        "image: fields differ in their number of items: 2 in a, 3 in b; each needs the same",
        "video: fields differ in their number of items: 1 in f, 0 in g; each needs the same",
    ]


def test_a_wrong_type_among_the_mistakes_makes_a_type_error() -> None:
    fields = {"a": config.batched("image"), "b": config.batched("image")}
    with pytest.raises(InputTypeError, match=r"^a: is a single number.*\nb: is str; "):
        MultiModalKwargsItems.from_hf_inputs({"a": 1, "b": "cat"}, fields)


# grouping


def item(modality: str = "image", **fields: tuple[object, config]) -> tuple[str, MultiModalKwargsItem]:
    """The first item of fields written as `key=(data, config)`."""
    data, configs = ({key: field[place] for key, field in fields.items()} for place in (0, 1))
    return modality, items_of(data, configs, modality)[0]  # type: ignore[arg-type]


BATCHED = config.batched("image")
RUN = config.flat("image", [slice(None)])
OPPOSITES = [  # no two go into one call
    item(a=(numbered(1, 2), BATCHED)),
    item("video", a=(numbered(1, 2), config.batched("video"))),
    item(a=(numbered(1, 2), BATCHED), b=(numbered(1, 2), BATCHED)),
    item(b=(numbered(1, 2), BATCHED)),
    item(a=(numbered(1, 2), config.batched("image", keep_on_cpu=True))),
    item(a=(numbered(1, 2), RUN)),
    item(a=(numbered(1, 2).half(), RUN)),
    item(a=(numbered(1, 2, 2), RUN)),
    item(a=([numbered(2)], RUN)),
    item(a=(numbered(2, 1), config.flat("image", [slice(None)], dim=1))),
    item(a=(numbered(1, 2), config.shared("image", 1))),
    item(a=(numbered(1, 2) + 1, config.shared("image", 1))),
    item(a=(torch.tensor(torch.nan), config.shared("image", 1))),
]


@settings(deadline=None)
@given(st.lists(st.integers(0, len(OPPOSITES) - 1), max_size=12))
def test_neighbours_that_go_together_are_joined_and_order_is_kept(places: list[int]) -> None:
    items = [pickle.loads(pickle.dumps(OPPOSITES[place])) for place in places]
    found = [*group_and_batch_mm_kwargs(items)]
    wanted = [(place, len([*run])) for place, run in groupby(places)]
    assert [(modality, count) for modality, count, _ in found] == [(OPPOSITES[p][0], count) for p, count in wanted]
    for (place, count), (_, _, data) in zip(wanted, found, strict=True):
        assert data.keys() == OPPOSITES[place][1].keys()
        if place == 0:
            assert same_tensors(data["a"], numbered(1, 2).repeat(count, 1))


def test_items_of_unequal_shape_go_into_one_call() -> None:
    items = [item(a=([numbered(size)], BATCHED), b=(numbered(size, size), RUN)) for size in (1, 2)]
    ((modality, count, data),) = group_and_batch_mm_kwargs(items)
    assert (modality, count) == ("image", 2)
    assert same_data(data, {"a": [numbered(1), numbered(2)], "b": torch.tensor([[0, 0], [0, 1], [2, 3]])})


def test_a_batch_is_made_when_it_is_asked_for() -> None:
    asked: list[int] = []

    def endless() -> Iterator[tuple[str, MultiModalKwargsItem]]:
        while True:
            asked.append(len(asked))
            yield OPPOSITES[len(asked) // 3 % 2]

    modality, count, _ = next(group_and_batch_mm_kwargs(endless()))
    assert (modality, count) == ("image", 2)
    assert len(asked) == 3


def test_tensors_go_to_the_device_but_for_those_that_stay_in_host_memory() -> None:
    fields = {
        "near": config.batched("image", keep_on_cpu=True),
        "run": config.flat("image", [slice(0, 1), slice(1, 2)], keep_on_cpu=True),
        "sizes": config.flat_from_sizes("image", torch.tensor([1, 1]), keep_on_cpu=True),
        "all": config.shared("image", 2, keep_on_cpu=True),
        "far": config.batched("image"),
        "ragged": config.batched("image"),
    }
    data = dict.fromkeys(fields, numbered(2, 3)) | {"ragged": [numbered(1), [numbered(2)]]}
    items = [("image", found) for found in items_of(data, fields)]
    ((_, _, found),) = group_and_batch_mm_kwargs(items, device="meta", pin_memory=True)
    devices = {key: value.device.type for key, value in found.items() if isinstance(value, Tensor)}
    assert devices == {"near": "cpu", "run": "cpu", "sizes": "cpu", "all": "cpu", "far": "meta"}
    one, (other,) = found["ragged"]
    assert isinstance(other, Tensor)
    assert (one.device.type, other.device.type) == ("meta", "meta")


@pytest.mark.gpu
def test_page_locked_copies_are_equal_on_the_gpu_and_nothing_else_is_page_locked() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    fields = {"near": config.batched("image", keep_on_cpu=True), "far": config.batched("image")}
    data = {"near": numbered(4, 1000), "far": numbered(4, 1000)}
    items = [("image", found) for found in items_of(data, fields)]
    ((_, _, found),) = group_and_batch_mm_kwargs(items, device="cuda", pin_memory=True)
    near, far = found["near"], found["far"]
    assert isinstance(near, Tensor)
    assert isinstance(far, Tensor)
    assert far.device.type == "cuda"
    assert near.device.type == "cpu"
    assert not near.is_pinned()
    assert torch.equal(far.cpu(), data["far"])


# reading


def test_data_are_read_as_one_batch_for_each_modality() -> None:
    data = {"a": numbered(2, 3), "b": numbered(5), "c": numbered(3, 1)}
    fields = {
        "a": config.batched("image"),
        "b": config.flat_from_sizes("image", torch.tensor([4, 1])),
        "c": config.batched("video"),
    }
    assert same_data(MultiModalKwargsItems.from_hf_inputs(data, fields).get_data(), data)


def test_a_modality_of_no_item_has_no_data() -> None:
    assert MultiModalKwargsItems({"image": []}).get_data() == {}
    assert MultiModalKwargsItems({}).get_data() == {}


def test_absent_items_second_batches_and_doubled_keys_are_all_told_at_once() -> None:
    def only(*places: int) -> list[MultiModalKwargsItem]:
        return [OPPOSITES[place][1] for place in places]

    items = MultiModalKwargsItems(
        {"image": [*only(0), None], "video": [None], "audio": only(3, 5), "depth": only(10, 11)}
    )
    with pytest.raises(ItemError) as raised:
        items.get_data()
    assert isinstance(raised.value, RuntimeError)
    assert str(raised.value).splitlines() == [
        "image[1]: is absent; put the item that the cache has in its place",
        "video[0]: is absent; put the item that the cache has in its place",
        "audio: items make 2 batches (a, b: only one of them has it); take them one by one, by "
        "group_and_batch_mm_kwargs",
        "depth: items make 2 batches (a: the values that all items should share differ); take them one by one, by "
        "group_and_batch_mm_kwargs",
        "audio: image has a too; read the two modalities by group_and_batch_mm_kwargs",
        "depth: image has a too; read the two modalities by group_and_batch_mm_kwargs",
    ]


def test_a_feature_says_what_an_item_is_and_where_its_rows_go() -> None:
    place: Any = object()
    feature = MultiModalFeatureSpec(data=None, modality="image", identifier="a:lora", mm_position=place)
    assert feature.mm_hash is None
    with pytest.raises(AttributeError):
        feature.mm_hash = "a"  # type: ignore[misc]


# an item alone, in any batch and from a cache


class Sample(NamedTuple):
    """One field of several items: the value of them all, and of each alone, with the field that cuts each."""

    whole: object
    field: config
    alone: list[tuple[object, config]]
    joined: NestedTensors


def tensor(draw: st.DrawFn, shape: list[int], dtype: torch.dtype) -> Tensor:
    seed = draw(st.integers(0, 99))
    return torch.randint(0, 5, shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@st.composite
def batched(draw: st.DrawFn, count: int) -> Sample:
    shape, dtype = draw(st.lists(st.integers(1, 3), max_size=2)), draw(st.sampled_from(DTYPES))
    whole = tensor(draw, [count, *shape], dtype)
    field = config.batched("image")
    value = whole.numpy() if draw(st.booleans()) else whole
    return Sample(value, field, [(value[i : i + 1], field) for i in range(count)], whole)


@st.composite
def batched_list(draw: st.DrawFn, count: int) -> Sample:
    dims = st.lists(st.integers(1, 2), min_size=1, max_size=2)
    values = [tensor(draw, draw(dims), draw(st.sampled_from(DTYPES[:2]))) for _ in range(count)]
    field = config.batched("image")
    alike = len({(value.shape, value.dtype) for value in values}) == 1
    return Sample(values, field, [([value], field) for value in values], torch.stack(values) if alike else values)


@st.composite
def flat(draw: st.DrawFn, count: int) -> Sample:
    dim = draw(st.sampled_from([0, 1, -1, -2]))
    sizes = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    shape = [draw(st.integers(1, 3)), draw(st.integers(1, 3))]
    shape[dim] = sum(sizes)
    whole = tensor(draw, shape, draw(st.sampled_from(DTYPES)))
    ends = torch.tensor(sizes).cumsum(0)
    slices = [slice(int(end) - size, int(end)) for size, end in zip(sizes, ends, strict=True)]
    field = config.flat("image", slices, dim=dim)
    if draw(st.booleans()):
        field = config.flat_from_sizes("image", torch.tensor(sizes), dim=dim)
    alone = [config.flat_from_sizes("image", torch.tensor([size]), dim=dim) for size in sizes]
    return Sample(whole, field, [*zip(whole.split(sizes, dim), alone, strict=True)], whole)


@st.composite
def flat_list(draw: st.DrawFn, count: int) -> Sample:
    sizes = draw(st.lists(st.integers(0, 2), min_size=count, max_size=count))
    rows = [[tensor(draw, [draw(st.integers(1, 3))], torch.float32) for _ in range(size)] for size in sizes]
    whole = [row for run in rows for row in run]
    alone = [config.flat_from_sizes("image", torch.tensor([size])) for size in sizes]
    field = config.flat_from_sizes("image", torch.tensor(sizes))
    return Sample(whole, field, [*zip(rows, alone, strict=True)], whole)


@st.composite
def shared(draw: st.DrawFn, count: int) -> Sample:
    value = draw(st.sampled_from([0.5, 3, True, torch.tensor([1.0, torch.nan])]))
    alone = [(value, config.shared("image", 1))] * count
    return Sample(value, config.shared("image", count), alone, torch.as_tensor(value))


@st.composite
def samples(draw: st.DrawFn) -> tuple[int, list[Sample]]:
    count = draw(st.integers(1, 4))
    kinds = st.sampled_from([batched, batched_list, flat, flat_list, shared])
    return count, [draw(kind(count)) for kind in draw(st.lists(kinds, min_size=1, max_size=4))]


@settings(deadline=None)
@given(samples(), st.data())
def test_an_item_is_the_same_alone_in_any_batch_and_from_a_cache(
    drawn: tuple[int, list[Sample]], data: st.DataObject
) -> None:
    count, found = drawn
    columns = {f"{place}": sample for place, sample in enumerate(found)}
    together = items_of({k: s.whole for k, s in columns.items()}, {k: s.field for k, s in columns.items()})
    alone = [
        items_of({k: s.alone[i][0] for k, s in columns.items()}, {k: s.alone[i][1] for k, s in columns.items()})[0]
        for i in range(count)
    ]
    cached = pickle.loads(pickle.dumps(together))
    assert together == alone == cached
    mixed = [data.draw(st.sampled_from(ways)) for ways in zip(together, alone, cached, strict=True)]

    joined = MultiModalKwargsItems({"image": mixed}).get_data()
    assert same_data(joined, {k: s.joined for k, s in columns.items()})

    cut = data.draw(st.integers(0, count))
    parts = [MultiModalKwargsItems({"image": part}).get_data() for part in (mixed[:cut], mixed[cut:])]
    again = [
        recut
        for part, start, stop in zip(parts, (0, cut), (cut, count), strict=True)
        for recut in (cut_again(part, columns, mixed[start:stop]) if start < stop else [])
    ]
    assert again == together


def cut_again(
    batch: Mapping[str, NestedTensors], columns: Mapping[str, Sample], items: list[MultiModalKwargsItem]
) -> list[Any]:
    """The items of a joined batch, cut out of it by fields that are written for this batch."""
    return items_of(batch, {key: field_of([i[key] for i in items]) for key in columns})


def field_of(elems: list[MultiModalFieldElem]) -> config:
    match elems[0].field:
        case field if (dim := getattr(field, "dim", None)) is not None:
            sizes = [e.data.shape[dim] if isinstance(e.data, Tensor) else len(e.data) for e in elems]
            return config.flat_from_sizes("image", torch.tensor(sizes), dim=dim)
        case field if "Shared" in type(field).__name__:
            return config.shared("image", len(elems))
    return config.batched("image")
