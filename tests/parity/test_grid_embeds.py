"""Rows that were encoded elsewhere, with the grids by which their tokens stand, give what the items themselves do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import triptych
from tests.parity.grids import Pair, all_cases
from tests.parity.multimodal import Pair as Seen
from tests.parity.multimodal import all_cases as cases_that_see
from triptych.errors import InputError
from triptych.parts.step import Step
from triptych.runner.reading import read_prompts
from triptych.runner.request import RunOptions

CASES = {case.name: case for case in all_cases()}
RUN = RunOptions(device=torch.device("cpu"), dtype=torch.float32)
SIZES = ((90, 61), (40, 200))


@pytest.fixture(scope="module", params=["qwen2_vl", "qwen2_5_vl"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("checkpoint")
    Pair.of(CASES[request.param], folder)
    return triptych.load(folder, dtype=torch.float32, multimodal=triptych.MultiModalSettings(embeds=True))


def pictures() -> list[Image.Image]:
    draw = np.random.default_rng(0)
    return [Image.fromarray(draw.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in SIZES]


def ids(model: Any) -> list[int]:
    token = model.config["image_token_id"]
    return [5, token, 7, 8, token, 9]


@torch.inference_mode()
def logits(model: Any, images: Any) -> torch.Tensor:
    prompt = model.read_items(ids(model), {"image": images})
    hidden = read_prompts(model.module, [prompt], Step.of([len(prompt.token_ids)]), run=RUN)
    found: torch.Tensor = model.module.compute_logits(hidden)
    return found


@torch.inference_mode()
def encoded(model: Any) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    data = model.processor(ids(model), {"image": pictures()}).mm_kwargs.get_data()
    return model.module.embed_multimodal(**data), [*data["image_grid"]]


@pytest.mark.parametrize("name", ["idefics3", "pixtral"])
def test_rows_between_which_texts_stand_need_the_sizes_of_their_images(name: str, tmp_path: Path) -> None:
    pair = Seen.of(next(case for case in cases_that_see() if name in case.name), tmp_path)
    model = triptych.load(tmp_path, dtype=torch.float32, multimodal=triptych.MultiModalSettings(embeds=True))
    asked = pair.ask(images=2)
    (request,) = pair.model.requests(asked.text, images=[*asked.images], raw=True)
    with torch.inference_mode():
        rows = pair.model.module.embed_multimodal(**pair.items(asked.images))
    sizes = [(image.height, image.width) for image in asked.images]
    found = model.processor(asked.text, {"image": {"image_embeds": rows, "image_sizes": sizes}})
    assert tuple(found.prompt_token_ids) == request.prompt.token_ids == asked.ids
    with pytest.raises(InputError, match=r"image\[1\]: has 1 rows, and one of 9 x 14 pixels takes \d+"):
        model.processor(asked.text, {"image": {"image_embeds": [rows[0], rows[1][:1]], "image_sizes": sizes}})


def test_rows_with_their_grids_give_what_the_pictures_themselves_give(model: Any) -> None:
    wanted, (rows, grids) = logits(model, pictures()), encoded(model)
    for embeds, beside in ((rows, torch.stack(grids)), (torch.cat(rows), torch.stack(grids)), (rows, grids)):
        found = logits(model, {"image_embeds": embeds, "image_grid_thw": beside})
        assert torch.allclose(found, wanted, atol=1e-4)
    tall = [grid[[0, 2, 1]] for grid in grids]  # as many tokens, which stand elsewhere
    assert not torch.allclose(logits(model, {"image_embeds": rows, "image_grid_thw": tall}), wanted, atol=1e-2)


def test_rows_without_grids_or_with_others_are_told(model: Any) -> None:
    rows, grids = encoded(model)
    with pytest.raises(InputError, match=r"image\[0\]: comes without its grid.* with image_grid_thw beside them$"):
        logits(model, rows)
    with pytest.raises(InputError, match=r"^image.image_grid_thw: is missing, and embeds of this model need it$"):
        logits(model, {"image_embeds": rows})
    with pytest.raises(
        InputError, match=r"image.image_grid_tw: no such field of embeds; did you mean 'image_grid_thw'"
    ):
        logits(model, {"image_embeds": rows, "image_grid_tw": grids})
    with pytest.raises(InputError, match=r"has a grid of \(1, 4, 4\), which is 4 tokens, and \d+ in the prompt"):
        logits(model, {"image_embeds": rows, "image_grid_thw": torch.tensor([[1, 4, 4], [1, 4, 4]])})
    for wrong in (torch.ones(2, 2).long(), torch.zeros(2, 3).long(), torch.ones(2, 3)):
        with pytest.raises(InputError, match=r"moments, rows and columns of each item, \[items, 3\] whole numbers"):
            logits(model, {"image_embeds": rows, "image_grid_thw": wrong})
    with pytest.raises(
        InputError, match="the fields have different numbers of items: image_embeds 2, image_grid_thw 1"
    ):
        logits(model, {"image_embeds": rows, "image_grid_thw": grids[:1]})


def test_rows_of_another_width_are_told_by_their_place(model: Any) -> None:
    rows, grids = encoded(model)
    with pytest.raises(InputError, match=r"^image\[1\]: expected shape \(n, 64\), found \(\d+, 63\): the rows of"):
        logits(model, {"image_embeds": [rows[0], rows[1][:, 1:]], "image_grid_thw": torch.stack(grids)})
