"""Image towers alone equal their reference: the rows after every layer and at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.parity.multimodal import GIVEN
from tests.parity.oracle import MATTERS, TOLERANCE, Oracle, build_oracle, rms_ratio
from triptych.assembly import Tower, assemble
from triptych.weights import Checkpoint, check, fill, match, tables

ARCHITECTURES = {"clip": "CLIPVisionModel", "siglip": "SiglipVisionModel"}
CHANGES: dict[str, dict[str, Any]] = {
    "plain": {},
    "gelu": {"hidden_act": "gelu"},
    "gray": {"num_channels": 1},
    "one head": {"num_attention_heads": 1},
    "an edge left over": {"image_size": 50, "patch_size": 16},
    "four patches": {"image_size": 30, "patch_size": 15},
    "small eps": {"layer_norm_eps": 1e-6, "num_hidden_layers": 1},
}
CASES = [(tower, change) for tower in ARCHITECTURES for change in CHANGES]


@pytest.fixture(params=CASES, ids=", ".join)
def oracle(request: pytest.FixtureRequest, tmp_path: Path) -> Oracle:
    return build(*request.param, tmp_path)


def build(tower: str, change: str, folder: Path) -> Oracle:
    config = GIVEN["towers"][tower] | CHANGES[change] | {"architectures": [ARCHITECTURES[tower]]}
    return build_oracle(config, folder, seed=len(change))


def load_tower(folder: Path, *overrides: str) -> Tower:
    checkpoint = Checkpoint(folder)
    assembled = assemble(None, checkpoint.config, overrides=overrides)
    matching = match(assembled.module, tables(assembled.plan.scopes), checkpoint.tensors)
    check(matching, checkpoint=str(folder))
    fill(assembled.module, matching, device=torch.device("cpu"), dtype=torch.float32)
    assert isinstance(assembled.module, Tower)
    return assembled.module


def images(oracle: Oracle, *, seed: int = 0) -> Tensor:
    """Three images as a processor would give them."""
    config = oracle.model.config
    shape = (3, config.num_channels, config.image_size, config.image_size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def found_rows(tower: Tower, pixels: Tensor) -> Tensor:
    return torch.stack(tower(list(pixels))[0])


@torch.inference_mode()
def wanted_rows(oracle: Oracle, pixels: Tensor, layers: Sequence[int] | None = None) -> Tensor:
    """Of the end, or after some layers, side by side."""
    found = oracle.model(pixels, output_hidden_states=True)
    rows: Tensor = torch.cat([found.hidden_states[n] for n in layers], -1) if layers else found.last_hidden_state
    return rows


def test_every_tensor_matters_to_the_reference(oracle: Oracle) -> None:
    pixels = images(oracle)
    wanted, idle = wanted_rows(oracle, pixels), set()
    for name, tensor in oracle.model.state_dict().items():
        kept = tensor.clone()
        tensor.zero_()
        if rms_ratio(wanted_rows(oracle, pixels), wanted) < MATTERS:
            idle.add(name)
        tensor.copy_(kept)
    of_clip = "clip" in oracle.model.config.model_type
    pooled = ("post_layernorm.",) if of_clip else ("head.",)  # after the rows, which are all that is asked for here
    expected = {n for n in oracle.model.state_dict() if n.endswith("self_attn.k_proj.bias") or n.startswith(pooled)}
    assert idle == expected


def test_rows_of_the_end_are_those_of_the_reference(oracle: Oracle) -> None:
    pixels = images(oracle)
    assert rms_ratio(found_rows(load_tower(oracle.folder), pixels), wanted_rows(oracle, pixels)) <= TOLERANCE


def test_rows_after_each_layer_are_those_of_the_reference(oracle: Oracle) -> None:
    pixels = images(oracle)
    count = oracle.model.config.num_hidden_layers
    for layers in [*([n] for n in range(-count - 1, count + 1)), [0, -1], [-1, 0, -1]]:
        tower = load_tower(oracle.folder, f"tower.output.layers={layers}")
        wanted = wanted_rows(oracle, pixels, layers)
        assert rms_ratio(found_rows(tower, pixels), wanted) <= TOLERANCE, layers
        assert tower.out_width == wanted.shape[-1]


def test_an_image_alone_gives_the_same_rows(oracle: Oracle) -> None:
    pixels, tower = images(oracle), load_tower(oracle.folder)
    together = found_rows(tower, pixels)
    for image, found in zip(pixels, together, strict=True):
        assert rms_ratio(found, found_rows(tower, image[None])[0]) <= TOLERANCE


def test_names_of_released_files_give_the_same_tower(oracle: Oracle, tmp_path: Path) -> None:
    wanted = load_tower(oracle.folder).state_dict()
    file = tmp_path / "model.safetensors"
    save_file({f"vision_model.{name}": tensor for name, tensor in load_file(file).items()}, file)
    found = load_tower(tmp_path).state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


MISTAKES = [
    "parts.attention.causal=true",
    "parts.attention.scale=0.3",
    "parts.mlp.activation=relu",
    "parts.mlp.activation=gelu_new",
    "parts.norm.eps=1.0e-6",
    "tower.output.layers=-2",
]


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_mistake_of_one_line_shows_in_the_rows(name: str, mistake: str, tmp_path: Path) -> None:
    oracle = build(name, "gelu", tmp_path)
    pixels = images(oracle)
    tower = load_tower(tmp_path, "inert=['*']", mistake)
    assert rms_ratio(found_rows(tower, pixels), wanted_rows(oracle, pixels)) > 10 * TOLERANCE


def test_a_tower_without_its_pooling_head_is_the_same_tower(tmp_path: Path) -> None:
    config = GIVEN["towers"]["siglip"] | {"architectures": ["SiglipVisionModel"], "vision_use_head": False}
    oracle = build_oracle(config, tmp_path, seed=0)
    pixels = images(oracle)
    assert rms_ratio(found_rows(load_tower(tmp_path), pixels), wanted_rows(oracle, pixels)) <= TOLERANCE


def test_the_norm_after_the_last_layer_shows_in_the_rows(tmp_path: Path) -> None:
    oracle = build("siglip", "plain", tmp_path)
    pixels = images(oracle)
    unnormed = found_rows(load_tower(tmp_path, "tower.output.layers=-1"), pixels)
    assert rms_ratio(unnormed, wanted_rows(oracle, pixels)) > MATTERS
