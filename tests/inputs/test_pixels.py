"""The bytes of an image's pixels, in one piece where they lie so, else in strips."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from triptych.inputs import pixels
from triptych.inputs.pixels import pixels_of

SIDES = st.integers(1, 90)


def drawn(height: int, width: int) -> np.ndarray:
    return np.random.default_rng([height, width]).integers(0, 256, (height, width, 3), dtype=np.uint8)


@given(height=SIDES, width=SIDES)
def test_the_bytes_are_those_of_the_pixels_and_one_beside_each(height: int, width: int) -> None:
    image = Image.fromarray(wanted := drawn(height, width))
    head, found = map(bytes, pixels_of(image))
    assert head == f"RGBX ({width}, {height}):".encode()
    assert np.array_equal(np.frombuffer(found, np.uint8).reshape(height, width, 4)[..., :3], wanted)


@given(height=SIDES, width=SIDES, strip=st.sampled_from([1, 100, 1000, 2**16]))
def test_pixels_that_lie_in_several_pieces_come_in_strips_that_are_the_whole(
    height: int, width: int, strip: int
) -> None:
    image = Image.fromarray(wanted := drawn(height, width))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pixels, "STRIP", strip)
        patch.delattr(Image.Image, "__arrow_c_array__")
        head, *found = (bytes(piece) for piece in pixels_of(image))
    assert head == f"RGB ({width}, {height}):".encode()
    assert b"".join(found) == wanted.tobytes()
    assert all(len(piece) <= max(strip, 3 * width) for piece in found)


def test_an_image_that_is_larger_than_a_piece_is_read_in_strips() -> None:
    head, *found = map(bytes, pixels_of(Image.new("RGB", (2100, 2100))))
    assert (head, sum(map(len, found))) == (b"RGB (2100, 2100):", 2100 * 2100 * 3)


def test_images_that_differ_in_one_place_differ() -> None:
    one, other = Image.new("RGB", (40, 30)), Image.new("RGB", (40, 30))
    other.putpixel((39, 29), (0, 0, 1))
    assert [*map(bytes, pixels_of(one))] != [*map(bytes, pixels_of(other))]


@pytest.mark.parametrize("width", [1500, 3000])
def test_pixels_are_read_without_memory_for_a_second_image(width: int) -> None:
    image = Image.new("RGB", (width, 2000))
    tracemalloc.start()
    for _ in pixels_of(image):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * pixels.STRIP
