"""What a built model is given: items are held to the spec's schema before any tower runs, rows to its width."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from tests.assembly.test_assemble import assembled
from triptych.assembly import LanguageModel, MultimodalModel, Tower
from triptych.assembly.merge import merge_embeddings
from triptych.errors import InputError, SpecError
from triptych.spec.item_facts import VideoFacts
from triptych.weights import fill_random

WIDTH, SIDE = 64, 56  # of the samples


@pytest.fixture(scope="module")
def model() -> MultimodalModel:
    module = assembled(spec="llava").module
    assert isinstance(module, MultimodalModel)
    fill_random(module, seed=0, device=torch.device("cpu"), dtype=torch.float32)
    return module


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many items each run of a tower was given."""
    seen, forward = list[int](), Tower.forward

    def watched(self: Tower, items: Any) -> Any:
        seen.append(len(items))
        return forward(self, items)

    monkeypatch.setattr(Tower, "forward", watched)
    return seen


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (torch.zeros(3, 40, SIDE), "image[1]: expected shape (3, 56, 56), found (3, 40, 56): dim 1 must be 56, not 40"),
        (torch.zeros(1, SIDE, SIDE), "image[1]: expected shape (3, 56, 56), found (1, 56, 56): dim 0 must be 3, not 1"),
        (torch.zeros(SIDE, SIDE), "image[1]: expected shape (3, 56, 56), found (56, 56): rank 2, not 3"),
        (torch.zeros(3, SIDE, SIDE, dtype=torch.uint8), "image[1]: expected dtype float, found uint8"),
        ([[0.0]], "image[1]: expected a tensor of shape (3, 56, 56), found list"),
    ],
)
def test_items_that_do_not_fit_are_told_before_the_tower_runs(
    model: MultimodalModel, calls: list[int], second: Any, said: str
) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(said)}$"):
        model.embed_multimodal(image=[torch.zeros(3, SIDE, SIDE), second])
    assert calls == []


@torch.no_grad()
def test_items_that_fit_come_to_the_tower_as_they_are(model: MultimodalModel, calls: list[int]) -> None:
    items = torch.randn(2, 3, SIDE, SIDE)
    found = model.embed_multimodal(image=list(items))
    assert calls == [2]
    assert [rows.shape for rows in found] == [(16, WIDTH)] * 2
    assert all(torch.equal(a, b) for a, b in zip(found, model.embed_multimodal(image=items), strict=True))


def test_a_spec_without_schemas_leaves_its_items_to_the_tower() -> None:
    nothing = "items: null\nschemas: null\ntowers: {image: {with: {items: {schema: null}}}}"
    module = assembled(nothing, spec="llava").module
    assert isinstance(module, MultimodalModel)
    with pytest.raises(InputError, match=r"an image of shape \[1, 56, 56\]; this tower takes \[3, height, width\]"):
        module.embed_multimodal(image=[torch.zeros(1, SIDE, SIDE)])


EMBEDS = [
    ([torch.ones(2, WIDTH + 1)], "multimodal_embeddings[0]: expected shape (n, 64), found (2, 65)"),
    ([torch.ones(1, WIDTH), torch.ones(1, 2)], "multimodal_embeddings[1]: expected shape (n, 64), found (1, 2)"),
    ([torch.ones(2, WIDTH, dtype=torch.int64)], "multimodal_embeddings[0]: expected dtype float, found int64"),
    (torch.ones(2, WIDTH), "multimodal_embeddings: expected shape (items, n, 64), found (2, 64)"),
    (torch.ones(1, 2, 5), "multimodal_embeddings: expected shape (items, n, 64), found (1, 2, 5)"),
]


@pytest.mark.parametrize(("embeds", "said"), EMBEDS)
def test_embeds_of_another_width_or_kind_are_refused_at_every_entry(
    model: MultimodalModel, embeds: Any, said: str
) -> None:
    ids, mask, rows = torch.tensor([1, 2, 3]), torch.tensor([False, True, True]), torch.zeros(3, WIDTH)
    text = model.language_model
    assert isinstance(text, LanguageModel)
    entries = (
        lambda: model.embed_input_ids(ids, embeds, is_multimodal=mask),
        lambda: text.embed_input_ids(ids, embeds, is_multimodal=mask),
        lambda: merge_embeddings(rows, embeds, mask),
    )
    for enter in entries:
        with pytest.raises(InputError, match=re.escape(said)):
            enter()
    assert not rows.any(), "nothing is written on failure"


@torch.no_grad()
def test_embeds_may_be_one_tensor_and_take_the_dtype_of_the_prompt(model: MultimodalModel) -> None:
    ids, mask = torch.tensor([1, 2, 3]), torch.tensor([False, True, True])
    stacked = torch.randn(2, 1, WIDTH, dtype=torch.float64)
    found = model.embed_input_ids(ids, stacked, is_multimodal=mask)
    assert found.dtype == torch.float32
    assert torch.equal(found[mask], stacked.flatten(0, 1).float())
    assert torch.equal(found, model.embed_input_ids(ids, list(stacked), is_multimodal=mask))


@torch.no_grad()
def test_an_item_of_several_pictures_has_the_rows_of_each_in_turn(model: MultimodalModel) -> None:
    tower = model.towers["image"]
    first, second, third = torch.randn(3, 3, SIDE, SIDE)
    alone = [tower([each])[0][0] for each in (first, second, third)]
    rows, grids = tower([torch.stack([first, second]), third])
    torch.testing.assert_close(rows[0], torch.cat(alone[:2]))
    torch.testing.assert_close(rows[1], alone[2])
    assert grids == [(2, 4, 4), (1, 4, 4)]
    assert model.towers["image"].skip * 2 + len(rows[0]) == 2 * (4 * 4 + 1)


VIDEOS = """
tokens: {video: {tower: image, placeholder: 254, count: =rows - grid.t}}
items: {schema: {image: null}}
prompt_updates:
- {modality: image, replace: <image>, with: placeholder}
- {modality: video, replace: <video>, with: placeholder}
"""


def test_videos_go_through_the_tower_that_tokens_name() -> None:
    found = assembled(VIDEOS, "llava")
    module = found.module
    assert isinstance(module, MultimodalModel)
    (rows,) = module.embed_multimodal(video=[torch.empty(5, 3, SIDE, SIDE, device="meta")])
    assert len(rows) == found.tokens["video"].count(VideoFacts(5, 480, 640), {}) == 5 * 16
    with pytest.raises(SpecError, match=r"tokens\.video: no tower 'imag' gives it rows; did you mean 'image'"):
        assembled(VIDEOS.replace("tower: image", "tower: imag"), "llava")
