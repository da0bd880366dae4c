"""What the parser does for every modality: absent ones, unknown ones, items known by their ids alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from triptych import InputError, OptionError
from triptych.inputs.media import (
    AudioProcessorItems,
    EmbeddingItems,
    ImageProcessorItems,
    ModalityDataItems,
    MultiModalDataParser,
    ProcessorItems,
)
from triptych.inputs.media.parser import Subparser
from triptych.inputs.media.reading import read_each

IMAGE = Image.new("RGB", (6, 4))
ITEMS = {"image": IMAGE, "audio": [0.5, -0.5], "video": np.zeros((2, 4, 6, 3), np.uint8)}
PARSER = MultiModalDataParser(target_sr=16_000)


def test_items_are_counted_by_modality() -> None:
    items = PARSER.parse_mm_data({"image": [IMAGE] * 2, "audio": [[0.5], [0.25]], "video": ITEMS["video"]})
    assert items.get_all_counts() == {"image": 2, "audio": 2, "video": 1}
    assert (items.get_count("image"), items.get_count("point_cloud")) == (2, 0)


@given(kept=st.sets(st.sampled_from([*ITEMS])))
def test_an_empty_list_is_an_absent_modality(kept: set[str]) -> None:
    items = PARSER.parse_mm_data({name: item if name in kept else [] for name, item in ITEMS.items()})
    assert {*items} == kept
    assert all(items.get_count(name) == (name in kept) for name in ITEMS)


def test_no_items_at_all_are_no_error() -> None:
    assert PARSER.parse_mm_data({}).get_all_counts() == {}


def test_an_unknown_modality_is_told_with_all_else_that_is_wrong() -> None:
    with pytest.raises(InputError) as caught:
        PARSER.parse_mm_data(
            {"imgae": IMAGE, "points": [], "image": [IMAGE, 3], "audio": [float("inf")], "video": None}
        )
    assert str(caught.value).splitlines() == [
        "imgae: no such modality is read; did you mean 'image'?",
        "points: no such modality is read; known: audio, image, video",
        "image[1]: is int; a file, a Pillow image or an array of bytes is needed",
        "audio[0]: has samples that are not finite",
        "video[0]: is None and has no id; give the video, or in uuids the id that it is cached by",
    ]


@pytest.mark.parametrize("modality", [*ITEMS])
def test_an_item_may_be_none_where_it_has_an_id(modality: str) -> None:
    for data in (None, [None]):
        items = PARSER.parse_mm_data({modality: data}, uuids={modality: ["a"]})
        assert items.get_count(modality) == 1
        assert items[modality].get(0) is None
        with pytest.raises(InputError, match=rf"^{modality}\[0\]: is known by its id alone; give the {modality}$"):
            items[modality].get_processor_data()


def test_items_that_are_given_stand_beside_those_that_are_cached() -> None:
    items = PARSER.parse_mm_data({"image": [None, IMAGE, None]}, uuids={"image": ["a", None, "b"]})
    images = items.get_items("image", ImageProcessorItems)
    assert [image is None for image in images] == [True, False, True]
    assert images.get_image_size(1) == (6, 4)
    assert images.select([1]).get_processor_data() == {"images": [images.get(1)]}
    assert images.select([]).get_processor_data() == {}
    assert images.get_count() == 3
    with pytest.raises(InputError, match=r"^image\[2\]: is known by its id alone"):
        images.get_image_size(2)


def test_a_cached_item_may_stand_before_embeds() -> None:
    parser = MultiModalDataParser(embeds=True)
    items = parser.parse_mm_data({"image": [None, torch.zeros(2, 8)]}, uuids={"image": ["a", None]})
    assert items.get_items("image", EmbeddingItems).get_feature_size(1) == 2
    with pytest.raises(InputError, match=r"^image\[0\]: is known by its id alone"):
        items["image"].get_passthrough_data()


@pytest.mark.parametrize(
    ("uuids", "message"),
    [
        ({}, r"^image\[1\]: is None and has no id; give the image, or in uuids the id that it is cached by$"),
        ({"image": ["a", None]}, r"^image\[1\]: is None and has no id"),
        ({"image": ["a", ""]}, r"^image\[1\]: is None and has no id"),
        ({"image": ["a", "b", "c"]}, r"^uuids.image: 3 for 2 items; a list with an id or None for each is wanted$"),
        ({"image": "ab"}, r"^uuids.image: one text for 2 items; a list with an id"),
        ({"image": ["a", "b"], "audio": ["c"]}, r"^uuids.audio: 1 for 0 items; a list"),
        ({"image": ["a", "b"], "video": ["c"]}, r"^uuids.video: 1 for 0 items; a list"),
    ],
)
def test_ids_must_fit_the_items(uuids: Mapping[str, list[str | None]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PARSER.parse_mm_data({"image": [IMAGE, None], "video": []}, uuids=uuids)


def test_ids_of_items_that_cannot_be_read_are_not_counted() -> None:
    with pytest.raises(InputError) as caught:
        PARSER.parse_mm_data({"image": 3}, uuids={"image": ["a"]})
    assert str(caught.value) == "image[0]: is int; a file, a Pillow image or an array of bytes is needed"


def test_entries_that_are_made_one_by_one_are_each_read() -> None:
    made = ([number] for number in range(99))
    assert read_each(made, lambda entry, _: str(entry), modality="x") == [f"[{number}]" for number in range(99)]


def test_items_are_had_as_the_kind_that_they_are() -> None:
    items = PARSER.parse_mm_data(ITEMS)
    assert isinstance(items.get_items("image", ProcessorItems), ImageProcessorItems)
    with pytest.raises(TypeError, match=r"^image: is ImageProcessorItems, and AudioProcessorItems are wanted$"):
        items.get_items("image", AudioProcessorItems)
    with pytest.raises(InputError, match=r"^images: the prompt has no such items; did you mean 'image'"):
        items.get_items("images", ImageProcessorItems)


class PointItems(ProcessorItems[int]):
    key = "points"


class PointParser(MultiModalDataParser):
    def get_subparsers(self) -> Mapping[str, Subparser]:
        return {**super().get_subparsers(), "points": self.parse_points}

    def parse_points(self, data: object) -> ModalityDataItems[object]:
        assert isinstance(data, list)
        return PointItems(data, modality="points")


def test_a_subclass_reads_modalities_of_its_own_beside_the_others() -> None:
    items = PointParser().parse_mm_data({"points": [3, 4], "image": IMAGE})
    assert items.get_all_counts() == {"points": 2, "image": 1}
    assert items["points"].get_processor_data() == {"points": [3, 4]}
    with pytest.raises(InputError, match=r"^points\[1\]: is None and has no id"):
        PointParser().parse_mm_data({"points": [3, None]})


@pytest.mark.parametrize("rate", [0, -1, 16_000.5, float("nan"), 1_000_000])
def test_the_models_rate_is_a_whole_number_of_hertz(rate: float) -> None:
    with pytest.raises(OptionError, match=r"^target_sr: is .*; a whole number of Hz up to 384,000 is wanted$"):
        MultiModalDataParser(target_sr=rate)
