"""Image towers alone equal their reference: the rows after every layer and at the end."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.parity.oracle import MATTERS, TOLERANCE, Oracle, build_oracle, rms_ratio, tiny_config
from triptych.assembly import Tower, assemble
from triptych.weights import Checkpoint, check, fill, match, tables

GIVEN: dict[str, Any] = yaml.safe_load((Path(__file__).resolve().parent / "towers.yaml").read_text("utf-8"))
TOWERS = GIVEN["towers"]
CASES = [(tower, change) for tower, given in TOWERS.items() for change in given["changes"]]


@pytest.fixture(params=CASES, ids=", ".join)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Oracle]:
    tower, change = request.param
    return tower, build(tower, change, tmp_path)


def build(tower: str, change: str, folder: Path) -> Oracle:
    given = TOWERS[tower]
    tiny = tiny_config(given["architecture"])
    assert tiny is not None
    return build_oracle(tiny | given.get("change", {}) | given["changes"][change], folder, seed=len(change))


def load_tower(folder: Path, *overrides: str) -> Tower:
    checkpoint = Checkpoint(folder)
    assembled = assemble(None, checkpoint.config, overrides=overrides)
    matching = match(assembled.module, tables(assembled.plan.scopes), checkpoint.tensors)
    check(matching, checkpoint=str(folder))
    fill(assembled.module, matching, device=torch.device("cpu"), dtype=torch.float32)
    assert isinstance(assembled.module, Tower)
    return assembled.module


def images(tower: str, oracle: Oracle) -> list[Tensor]:
    """Images as a processor would give them: three of the one size, or one of each of the tower's grids."""
    config, make = oracle.model.config, torch.Generator().manual_seed(0)
    patch = side_of(config.patch_size)
    sizes = [(h * patch, w * patch) for h, w in TOWERS[tower].get("grids", ())]
    sizes = sizes or [(side_of(config.image_size),) * 2] * 3
    return [torch.randn(config.num_channels, *size, generator=make) for size in sizes]


def side_of(size: int | Sequence[int]) -> int:
    return size if isinstance(size, int) else size[0]


@torch.inference_mode()
def found_rows(tower: Tower, pixels: Sequence[Tensor]) -> Tensor:
    """Of all images in one call, one after the other."""
    return torch.cat(tower(pixels)[0])


@torch.inference_mode()
def wanted_rows(oracle: Oracle, pixels: Sequence[Tensor], layers: Sequence[int] | None = None) -> Tensor:
    """Of the end, or after some layers, side by side; of each image alone."""
    return torch.cat([_rows(oracle, image, layers) for image in pixels])


def _rows(oracle: Oracle, image: Tensor, layers: Sequence[int] | None) -> Tensor:
    found = oracle.model(image[None], output_hidden_states=True)
    rows: Tensor = torch.cat([found.hidden_states[n] for n in layers], -1) if layers else found.last_hidden_state
    return rows[0]


def test_every_tensor_matters_to_the_reference(case: tuple[str, Oracle]) -> None:
    tower, oracle = case
    pixels = images(tower, oracle)
    wanted, idle = wanted_rows(oracle, pixels), set()
    for name, tensor in oracle.model.state_dict().items():
        kept = tensor.clone()
        tensor.zero_()
        if rms_ratio(wanted_rows(oracle, pixels), wanted) < MATTERS:
            idle.add(name)
        tensor.copy_(kept)
    patterns = ["*self_attn.k_proj.bias", *TOWERS[tower].get("idle", ())]
    assert idle == {n for n in oracle.model.state_dict() if any(fnmatchcase(n, pattern) for pattern in patterns)}


def test_rows_of_the_end_are_those_of_the_reference(case: tuple[str, Oracle]) -> None:
    tower, oracle = case
    pixels = images(tower, oracle)
    assert rms_ratio(found_rows(load_tower(oracle.folder), pixels), wanted_rows(oracle, pixels)) <= TOLERANCE


def test_rows_after_each_layer_are_those_of_the_reference(case: tuple[str, Oracle]) -> None:
    tower, oracle = case
    pixels = images(tower, oracle)
    count = oracle.model.config.num_hidden_layers
    for layers in [*([n] for n in range(-count - 1, count + 1)), [0, -1], [-1, 0, -1]]:
        ours = load_tower(oracle.folder, f"tower.output.layers={layers}")
        wanted = wanted_rows(oracle, pixels, layers)
        assert rms_ratio(found_rows(ours, pixels), wanted) <= TOLERANCE, layers
        assert ours.out_width == wanted.shape[-1]


def test_an_image_alone_gives_the_same_rows(case: tuple[str, Oracle]) -> None:
    tower, oracle = case
    pixels, ours = images(tower, oracle), load_tower(oracle.folder)
    with torch.inference_mode():
        together, grids = ours(pixels)
        for image, found, grid in zip(pixels, together, grids, strict=True):
            (alone,), own = ours([image])
            assert own == [grid]
            assert rms_ratio(found, alone) <= TOLERANCE


@pytest.mark.parametrize("tower", [name for name, given in TOWERS.items() if "released" in given])
def test_names_of_released_files_give_the_same_tower(tower: str, tmp_path: Path) -> None:
    oracle = build(tower, "plain", tmp_path)
    wanted = load_tower(oracle.folder).state_dict()
    file = tmp_path / "model.safetensors"
    save_file({f"{TOWERS[tower]['released']}.{name}": tensor for name, tensor in load_file(file).items()}, file)
    found = load_tower(tmp_path).state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize(("mistake", "tower"), [(mistake, t) for mistake, towers in GIVEN["mistakes"] for t in towers])
def test_a_mistake_of_one_line_shows_in_the_rows(mistake: str, tower: str, tmp_path: Path) -> None:
    oracle = build(tower, "plain", tmp_path)
    pixels = images(tower, oracle)
    ours = load_tower(tmp_path, "inert=['*']", mistake)
    assert rms_ratio(found_rows(ours, pixels), wanted_rows(oracle, pixels)) > 10 * TOLERANCE


def test_a_tower_without_its_pooling_head_is_the_same_tower(tmp_path: Path) -> None:
    tiny = tiny_config("SiglipVisionModel")
    assert tiny is not None
    oracle = build_oracle(tiny | {"vision_use_head": False}, tmp_path, seed=0)
    pixels = images("siglip", oracle)
    assert rms_ratio(found_rows(load_tower(tmp_path), pixels), wanted_rows(oracle, pixels)) <= TOLERANCE


@torch.inference_mode()
@pytest.mark.parametrize("change", ["plain", "one head", "gelu"])
def test_the_row_that_pools_an_image_is_that_of_the_reference(change: str, tmp_path: Path) -> None:
    oracle = build("siglip", change, tmp_path)
    pixels = images("siglip", oracle)
    ours = load_tower(tmp_path, "tower.pool=head")
    wanted = torch.cat([oracle.model(image[None]).pooler_output for image in pixels])
    rows, grids = ours(pixels)
    assert [len(each) for each in rows] == [grid.rows for grid in grids] == [1] * len(pixels)
    assert rms_ratio(torch.cat(rows), wanted) <= TOLERANCE
    pictures, (grid,) = ours([torch.stack(pixels)])
    assert rms_ratio(pictures[0], wanted) <= TOLERANCE
    assert grid.rows == len(pixels)


@torch.inference_mode()
def test_every_tensor_of_the_pooling_head_matters_to_the_reference(tmp_path: Path) -> None:
    oracle = build("siglip", "plain", tmp_path)
    image = images("siglip", oracle)[0][None]
    wanted, heads = oracle.model(image).pooler_output, [n for n in oracle.model.state_dict() if n.startswith("head.")]
    assert len(heads) == 11
    for name in heads:
        tensor = oracle.model.state_dict()[name]
        kept = tensor.clone()
        tensor.zero_()
        assert rms_ratio(oracle.model(image).pooler_output, wanted) > MATTERS, name
        tensor.copy_(kept)


def test_the_norm_after_the_last_layer_shows_in_the_rows(tmp_path: Path) -> None:
    oracle = build("siglip", "plain", tmp_path)
    pixels = images("siglip", oracle)
    unnormed = found_rows(load_tower(tmp_path, "tower.output.layers=-1"), pixels)
    assert rms_ratio(unnormed, wanted_rows(oracle, pixels)) > MATTERS


@torch.inference_mode()
@pytest.mark.parametrize("tower", ["clip", "siglip"])
def test_positions_of_a_fixed_square_are_resampled_when_asked_for(tower: str, tmp_path: Path) -> None:
    oracle = build(tower, "plain", tmp_path)
    patch = oracle.model.config.patch_size
    image = torch.randn(3, 2 * patch, 7 * patch, generator=torch.Generator().manual_seed(0))
    found = found_rows(load_tower(tmp_path, "parts.learned.resample=bicubic"), [image])
    wanted = oracle.model(image[None], interpolate_pos_encoding=True).last_hidden_state[0]
    assert rms_ratio(found, wanted) <= TOLERANCE
