"""SigLIP 2's tower of any resolution equals its reference, which fills a batch up with zeros."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers.models.siglip2.image_processing_pil_siglip2 import (
    Siglip2ImageProcessorPil,
    get_image_size_for_max_num_patches,
)

from tests.parity.multimodal import picture
from tests.parity.oracle import MATTERS, TOLERANCE, Oracle, build_oracle, rms_ratio, tiny_config
from tests.parity.test_towers import load_tower
from triptych.assembly import Tower
from triptych.errors import InputError
from triptych.inputs.processing.image_processor import load_image_processor
from triptych.parts.grid import Grid
from triptych.parts.max_patches import MaxPatches
from triptych.spec.item_facts import AudioFacts, ImageFacts, VideoFacts

GRIDS = [Grid(1, 4, 4), Grid(1, 2, 7), Grid(1, 9, 3), Grid(1, 1, 1), Grid(1, 5, 4)]
SIZES = ((40, 70), (9, 14), (56, 56), (90, 31))  # height, width
PATCH = 6
CHANGES: dict[str, dict[str, Any]] = {
    "plain": {},
    "gelu": {"hidden_act": "gelu"},
    "gray, without a pooling head": {"num_channels": 1, "vision_use_head": False},
    "a larger square": {"num_patches": 49},
}
SIDES = st.one_of(st.integers(1, 300), st.integers(1, 4000))


def build(change: str, folder: Path) -> Oracle:
    tiny = tiny_config("Siglip2VisionModel")
    assert tiny is not None
    return build_oracle(tiny | {"patch_size": PATCH, "num_patches": 16} | CHANGES[change], folder, seed=len(change))


def vectors(oracle: Oracle) -> list[Tensor]:
    """Of an image of each of the grids."""
    draw = torch.Generator().manual_seed(0)
    return [torch.randn(grid.rows, oracle.model.config.num_channels * PATCH**2, generator=draw) for grid in GRIDS]


@torch.inference_mode()
def wanted_rows(
    oracle: Oracle, items: Sequence[Tensor], grids: Sequence[Grid], layer: int | None = None, *, pooled: bool = False
) -> list[Tensor]:
    """Of the reference, in one batch filled up with zeros: at the end, after a layer, or the one that pools those."""
    longest = max(map(len, items))
    padded = torch.stack([torch.cat((x, x.new_zeros(longest - len(x), x.shape[1]))) for x in items])
    mask = torch.tensor([[n < len(x) for n in range(longest)] for x in items])
    shapes = torch.tensor([(grid.h, grid.w) for grid in grids])
    found = oracle.model(padded, mask, shapes, output_hidden_states=True)
    if pooled:
        return [*found.pooler_output[:, None]]
    rows = found.last_hidden_state if layer is None else found.hidden_states[layer]
    return [each[: len(x)] for each, x in zip(rows, items, strict=True)]


@torch.inference_mode()
def found_rows(tower: Tower, items: Sequence[Tensor], grids: Sequence[Grid]) -> list[Tensor]:
    return tower(items, grids)[0]


def apart(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    return rms_ratio(torch.cat([*found]), torch.cat([*wanted]))


@pytest.mark.parametrize("change", CHANGES)
def test_rows_at_the_end_and_after_each_layer_are_those_of_the_reference(change: str, tmp_path: Path) -> None:
    oracle = build(change, tmp_path)
    items = vectors(oracle)
    ours = load_tower(tmp_path)
    assert apart(found_rows(ours, items, GRIDS), wanted_rows(oracle, items, GRIDS)) <= TOLERANCE
    for layer in range(oracle.model.config.num_hidden_layers + 1):
        after = load_tower(tmp_path, f"tower.output.layers={layer}")
        assert apart(found_rows(after, items, GRIDS), wanted_rows(oracle, items, GRIDS, layer)) <= TOLERANCE


def test_every_tensor_but_the_pooling_heads_matters_to_the_reference(tmp_path: Path) -> None:
    oracle = build("plain", tmp_path)
    items = vectors(oracle)
    wanted, idle = wanted_rows(oracle, items, GRIDS), set()
    for name, tensor in oracle.model.state_dict().items():
        kept = tensor.clone()
        tensor.zero_()
        if apart(wanted_rows(oracle, items, GRIDS), wanted) < MATTERS:
            idle.add(name)
        tensor.copy_(kept)
    names = oracle.model.state_dict()
    assert idle == {name for name in names if name.startswith("head.") or name.endswith("k_proj.bias")}


def test_the_row_that_pools_an_image_of_any_size_is_that_of_the_reference(tmp_path: Path) -> None:
    oracle = build("plain", tmp_path)
    items = vectors(oracle)
    ours = load_tower(tmp_path, "tower.pool=head")
    assert apart(found_rows(ours, items, GRIDS), wanted_rows(oracle, items, GRIDS, pooled=True)) <= TOLERANCE


def test_an_image_alone_gives_the_same_rows(tmp_path: Path) -> None:
    items = vectors(build("plain", tmp_path))
    ours = load_tower(tmp_path)
    for item, grid, together in zip(items, GRIDS, found_rows(ours, items, GRIDS), strict=True):
        (alone,) = found_rows(ours, [item], [grid])
        assert rms_ratio(alone, together) <= TOLERANCE


def test_real_pictures_through_its_own_processor_give_the_rows_of_the_reference(tmp_path: Path) -> None:
    oracle = build("plain", tmp_path)
    theirs = Siglip2ImageProcessorPil(patch_size=PATCH, max_num_patches=16)
    theirs.save_pretrained(tmp_path)
    ours, size = load_image_processor(tmp_path), MaxPatches(patch=PATCH, most=256)
    images = [picture(np.random.default_rng(n), sides) for n, sides in enumerate(SIZES)]
    items = [ours(image, name="image") for image in images]
    grids = [size(ImageFacts(*sides), ours.config) for sides in SIZES]
    found = theirs(images=images, return_tensors="pt")
    with torch.inference_mode():
        wanted = oracle.model(**found).last_hidden_state[found["pixel_attention_mask"].bool()]
    assert [[grid.h, grid.w] for grid in grids] == found["spatial_shapes"].tolist()
    assert rms_ratio(torch.cat(found_rows(load_tower(tmp_path), items, grids)), wanted) <= TOLERANCE


def test_names_of_released_files_give_the_same_tower(tmp_path: Path) -> None:
    build("plain", tmp_path)
    wanted, file = load_tower(tmp_path).state_dict(), tmp_path / "model.safetensors"
    save_file({f"vision_model.{name}": tensor for name, tensor in load_file(file).items()}, file)
    found = load_tower(tmp_path).state_dict()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize(
    "mistake",
    [
        "parts.learned.antialias=false",
        "parts.learned.resample=bicubic",
        "parts.learned={use: buckets, side: 4}",
        "parts.attention.reach.causal=true",
        "parts.mlp.activation=gelu",
        "parts.norm.eps=1.0e-6",
        "tower.norm=null",
    ],
)
def test_a_mistake_of_one_line_shows_in_the_rows(mistake: str, tmp_path: Path) -> None:
    oracle = build("plain", tmp_path)
    items = vectors(oracle)
    dropped = ["weights.drop=[head, post_layernorm]"] if "norm=null" in mistake else []
    ours = load_tower(tmp_path, "inert=['*']", mistake, *dropped)
    assert apart(found_rows(ours, items, GRIDS), wanted_rows(oracle, items, GRIDS)) > 10 * TOLERANCE


@settings(max_examples=100, deadline=None)
@given(height=SIDES, width=SIDES, patch=st.integers(1, 32), most=st.integers(1, 1200))
def test_images_are_as_large_as_its_processor_makes_them(height: int, width: int, patch: int, most: int) -> None:
    wanted = get_image_size_for_max_num_patches(height, width, patch, most)
    size, limits = MaxPatches(patch=patch, most=7), {"max_num_patches": most}
    grid = size(ImageFacts(height, width), limits)
    assert (grid.t, grid.h * patch, grid.w * patch) == (1, *wanted)
    if max(height, width) <= 200 * min(height, width):
        assert grid.rows <= size(size.largest("image", limits), limits).rows


def test_frames_of_a_video_are_images_and_sound_is_none() -> None:
    size = MaxPatches(patch=4, most=6)
    assert size(VideoFacts(3, 64, 96), {}) == Grid(3, 2, 3)
    with pytest.raises(InputError, match="100 samples have no height and width to cut into patches"):
        size(AudioFacts(100), {})
