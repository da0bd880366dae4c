"""A model that came without a checkpoint takes images and videos: what prepares them, its spec's size asks for."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

import triptych
from triptych.errors import InputError
from triptych.spec.catalog import catalog, load_named
from triptych.tasks.model import Model

SEES = [name for name, listed in catalog().items() if "image" in (load_named(name)[1].get("tokens") or {})]
SIZES = ((48, 64), (9, 14), (31, 300), (500, 20))
ROOMY = {"idefics3": ["sample.text_config.max_position_embeddings=4096"]}


@cache
def model(name: str) -> Model:
    return triptych.random_init(name, overrides=ROOMY.get(name, ()))


def drawn(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)


def test_there_are_many() -> None:
    assert len(SEES) >= 15


@pytest.mark.parametrize("name", [each for each in SEES if load_named(each)[1]["tokens"]["image"]])
def test_images_of_all_sizes_are_prepared_as_they_are_counted(name: str) -> None:
    ours = model(name)
    assert ours.processor is not None
    for size in SIZES:
        (request,) = ours.requests("hi", images=[drawn(*size)], raw=True)
        ids = request.prompt.token_ids
        rule = ours.processor.info.ctx.tokens["image"]
        count = rule.count(triptych.ImageFacts(*size), ours.processor.info.ctx.processor_config("image"))
        assert ids.count(rule.placeholder) == count
        found = ours.logits(ids, images=[drawn(*size)])
        assert len(found) == len(ids)
        assert torch.isfinite(found).all()


@pytest.mark.parametrize("name", ["llava_onevision", "minicpmv", "qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test_so_are_videos(name: str) -> None:
    video = [(drawn(6, 40, 60), {"fps": 2.0})]
    (answer,) = model(name).generate("hi", videos=video, raw=True, max_tokens=2, ignore_eos=True)
    assert len(answer.token_ids) == 2


def test_what_an_image_shows_matters() -> None:
    ours, given = model("llava"), [drawn(48, 64), 255 - drawn(48, 64)]
    (request,) = ours.requests("hi", images=given[:1], raw=True)
    one, other = (ours.logits(request.prompt.token_ids, images=[each])[-1] for each in given)
    assert not torch.allclose(one, other)


def test_a_size_that_does_not_say_what_prepares_images_is_told() -> None:
    from triptych.inputs.processing.image_processor import stand_in_for_checkpoint

    with pytest.raises(InputError, match="images need the image processor of a checkpoint folder"):
        stand_in_for_checkpoint(object())
