"""One formula tells the tokens of an item: whatever its size, the tower and the projector give that many rows."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from triptych.assembly import Assembled, assemble
from triptych.check.token_counts import check_count
from triptych.errors import InputError, SpecError
from triptych.spec.catalog import catalog, load_named, sample_config
from triptych.spec.item_facts import AudioFacts, ImageFacts, ItemFacts, VideoFacts
from triptych.spec.tokens import TokenRule

SIDES = st.one_of(st.integers(1, 300), st.integers(1, 4000))
FACTS = {
    "image": st.builds(ImageFacts, SIDES, SIDES),
    "video": st.builds(VideoFacts, st.integers(1, 12), SIDES, SIDES, st.sampled_from([None, 1.0, 24.0])),
    "audio": st.builds(AudioFacts, st.integers(1, 500_000)),
}


@cache
def assembled(name: str, *overrides: str) -> Assembled:
    tree = load_named(name)[1]
    return assemble(tree, sample_config(tree), overrides=overrides, name=name)


def modalities() -> list[tuple[str, str]]:
    names = [name for name, listed in catalog().items() if listed.kind == "multimodal"]
    return [(name, modality) for name in names for modality in assembled(name).tokens]


@pytest.mark.parametrize(("name", "modality"), modalities())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
@torch.no_grad()
def test_every_item_gives_as_many_rows_as_are_counted(name: str, modality: str, data: st.DataObject) -> None:
    found = assembled(name)
    item = data.draw(FACTS[modality].filter(lambda each: not isinstance(each, ImageFacts | VideoFacts) or _usual(each)))
    rule = found.tokens[modality]
    assume(_counted(rule, item))
    check_count(found, modality, item)
    if not isinstance(item, VideoFacts):
        assert rule.count(item, {}) <= rule.count(rule.largest({}), {})


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("llava", "=rows"),
        ("llava_next", "=grid.h * grid.w + grid.rows * grid.columns"),
        ("llava_next", "=rows"),
        ("llava_onevision", "=grid.h * grid.w + grid.high * (grid.wide + 1)"),
    ],
)
def test_a_formula_that_is_wrong_shows(name: str, count: str) -> None:
    found = assembled(name, f"tokens.image.count={count}")
    with pytest.raises(SpecError, match=r"tokens\.image\.count: the projector gives rows of shape \(\d+, 64\)"):
        check_count(found, "image", ImageFacts(300, 112))


@torch.no_grad()
def test_an_image_whose_rows_are_pooled_takes_one_placeholder() -> None:
    found = assembled("paligemma", "towers.image.with={tower: {pool: head}, items: {rows: 1}}")
    check_count(found, "image", ImageFacts(300, 112))
    assert found.tokens["image"].count(ImageFacts(300, 112), {}) == 1
    wrong = assembled("paligemma", "towers.image.with={tower: {pool: head}}")
    with pytest.raises(SpecError, match=r"the projector gives rows of shape \(1, 64\)"):
        check_count(wrong, "image", ImageFacts(300, 112))


def _counted(rule: TokenRule, item: ItemFacts) -> bool:
    """Whether the formula takes the item at all: of a strip nothing may be left when it is made small."""
    try:
        return rule.count(item, {}) > 0
    except (SpecError, InputError):
        return False


def _usual(item: ImageFacts | VideoFacts) -> bool:
    """Whether an image of these sides is read at all."""
    return max(item.height, item.width) <= 200 * min(item.height, item.width)
