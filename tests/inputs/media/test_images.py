"""Images of a prompt: every form of one gives the same item, and a list is told item by item."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from triptych import InputError
from triptych.inputs.media import ImageProcessorItems, ImageSize, MultiModalDataParser


def parse(data: object) -> ImageProcessorItems:
    return MultiModalDataParser().parse_mm_data({"image": data}).get_items("image", ImageProcessorItems)


def pixels(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def forms(tmp_path: Path) -> list[object]:
    array = pixels(20, 31, 3)
    image = Image.fromarray(array)
    image.save(tmp_path / "a.png")
    tensor = torch.from_numpy(array)
    return [image, array, array.transpose(2, 0, 1), tensor, tensor.permute(2, 0, 1), tmp_path / "a.png"]


def test_every_form_of_one_image_is_that_image(tmp_path: Path) -> None:
    for form in forms(tmp_path):
        items = parse(form)
        assert len(items) == 1
        assert np.array_equal(np.asarray(items.given(0)), pixels(20, 31, 3))
        assert items.get_image_size(0) == ImageSize(width=31, height=20)


def test_a_list_has_any_of_the_forms(tmp_path: Path) -> None:
    items = parse(forms(tmp_path))
    assert items.get_count() == 6
    data = items.get_processor_data()
    assert [*data] == ["images"]
    assert data["images"] == [*items]
    assert all(image is not None and image.mode == "RGB" for image in items)
    assert items.get_passthrough_data() == {}


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_an_array_of_4_dims_is_cut_along_the_first(kind: Any) -> None:
    array = pixels(5, 6, 7, 3)
    items = parse(kind(array))
    assert [np.array_equal(np.asarray(image), want) for image, want in zip(items, array, strict=True)] == [True] * 5


@settings(deadline=None)
@given(shape=st.tuples(*[st.integers(1, 6)] * 3))
def test_channels_are_last_where_that_dim_is_1_3_or_4_else_first(shape: tuple[int, int, int]) -> None:
    if shape[2] in (1, 3, 4):
        assert parse(pixels(*shape)).get_image_size(0) == (shape[1], shape[0])
    elif shape[0] in (1, 3, 4):
        assert parse(pixels(*shape)).get_image_size(0) == (shape[2], shape[1])
    else:
        with pytest.raises(InputError, match=r"1, 3 or 4 channels, first or last, are needed"):
            parse(pixels(*shape))


def test_an_image_that_is_there_again_is_read_once() -> None:
    image = Image.new("RGB", (4, 4))
    first, *others = parse([image] * 5)
    assert all(other is first for other in others)


def test_all_images_that_cannot_be_read_are_told_at_once(tmp_path: Path) -> None:
    missing = tmp_path / "b.png"
    with pytest.raises(InputError) as caught:
        parse([missing, Image.new("RGB", (4, 4)), np.zeros((4, 4, 3)), {}, Image.new("L", (1, 300))])
    assert str(caught.value).splitlines() == [
        f"image[0] ({missing}): there is no such file",
        "image[2]: is float64 [4, 4, 3]; bytes (uint8, 0 to 255) [height, width, channels] are needed",
        "image[3]: is dict; a file, a Pillow image or an array of bytes is needed",
        "image[4]: is 1 x 300; one side may be at most 200 times the other",
    ]
    assert [problem.path for problem in caught.value.problems] == [
        f"image[0] ({missing})",
        "image[2]",
        "image[3]",
        "image[4]",
    ]
    assert not isinstance(caught.value, TypeError)


def test_wrong_types_alone_are_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"image\[0\]: is int; a file"):
        parse([3, {}])
