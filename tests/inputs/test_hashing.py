"""Items are named by their content, their model and the keywords that they are prepared with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from triptych.errors import InputError
from triptych.inputs import digests
from triptych.inputs.hashing import hash_item
from triptych.inputs.media import Video
from triptych.inputs.media.originals import Original

WHITE = Image.new("RGB", (3, 2), "white")
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


def name(item: object, **changes: object) -> str:
    given: dict[str, object] = {"model": "m", "modality": "image", "keywords": {}, **changes}
    return hash_item(item, **given)  # type: ignore[arg-type]


def test_a_digest_is_never_cut() -> None:
    assert len(name(WHITE)) == 64
    assert name(WHITE) == name(WHITE.copy())


@pytest.mark.parametrize(
    "other",
    [
        Image.new("RGB", (2, 3), "white"),
        Image.new("L", (3, 2), "white"),
        Image.new("RGB", (3, 2), "black"),
        np.asarray(WHITE),
        torch.from_numpy(np.array(WHITE)),
    ],
)
def test_content_of_another_shape_dtype_or_kind_has_another_name(other: object) -> None:
    assert name(WHITE) != name(other)


def test_what_an_item_was_given_as_tells_it_and_it_is_not_read_for_that() -> None:
    def read() -> Image.Image:
        pytest.fail("read")

    assert name(Original(b"a", read)) == name(Original(b"a", read))
    assert (
        len({name(each) for each in (Original(b"a", read), Original(b"b", read), b"a", "a", ["original", b"a"])}) == 5
    )


@pytest.mark.parametrize("packages", [["blake3"], []])
def test_names_are_made_with_the_package_of_a_fast_hash_and_without(
    packages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = digests.find_spec
    monkeypatch.setattr(digests, "find_spec", lambda package: real(package) if package in packages else None)
    digests.algorithm.cache_clear()
    try:
        found = {name(item) for item in (WHITE, Image.new("RGB", (3, 2)), b"ab", ["a", "b"], None)}
    finally:
        digests.algorithm.cache_clear()
    assert sorted(map(len, found)) == [64] * 5


def test_a_video_is_named_by_its_frames_and_by_what_is_known_of_them() -> None:
    frames, others = np.zeros((2, 3, 4, 3), np.uint8), np.ones((2, 3, 4, 3), np.uint8)
    videos = [Video(frames), Video(others), Video(frames, {"fps": 2.0}), Video(frames, {"fps": 4.0})]
    assert len({name(video) for video in videos} | {name(frames)}) == 5
    assert name(Video(frames, {"fps": 2.0})) == name(Video(frames.copy(), {"fps": 2.0}))


@pytest.mark.parametrize("change", [{"model": "n"}, {"modality": "video"}, {"keywords": {"crop": True}}, {"salt": "s"}])
def test_the_name_covers_model_modality_keywords_and_salt(change: dict[str, object]) -> None:
    assert name(WHITE) != name(WHITE, **change)


def test_a_user_id_replaces_the_content_and_alone_is_the_key_itself() -> None:
    assert name(WHITE, uuid="mine") == name(None, uuid="mine") == "mine"


def test_with_keywords_or_a_salt_a_user_id_is_hashed_together_with_them() -> None:
    names = [
        name(None, uuid="mine", keywords={"crop": True}),
        name(None, uuid="mine", salt="a"),
        name(None, uuid="mine", salt="b"),
        name(None, uuid="other", salt="a"),
    ]
    assert len({*names, "mine"}) == 5
    assert all(len(found) == 64 for found in names)


def test_bfloat16_and_values_that_no_item_has() -> None:
    ones = torch.ones(2, dtype=torch.bfloat16)
    assert name(ones) == name(ones.clone()) != name(ones.view(torch.int16))
    assert name(torch.ones(2, 3).T) == name(torch.ones(3, 2))
    assert name({"a": 1}) != name([["a", 1]])
    with pytest.raises(InputError, match=r"^is object, which cannot be told by its content; give the item an id$"):
        name(object())


@given(VALUES, VALUES)
def test_two_values_have_one_name_only_if_they_are_one(one: object, other: object) -> None:
    assert (name(one) == name(other)) == (repr(_sorted(one)) == repr(_sorted(other)))


def _sorted(value: object) -> object:
    match value:
        case dict():
            return {key: _sorted(value[key]) for key in sorted(value)}
        case list():
            return [_sorted(v) for v in value]
    return value
