"""Mistral and Pixtral as their makers' files have them: a `params.json`, names and pairs of channels of their own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import pad

import triptych
from tests.parity.multimodal import SIZES, Case, Pair, all_cases, picture
from tests.parity.oracle import TOLERANCE, Oracle, build_oracle, rms_ratio, tiny_config
from triptych.assembly import assemble
from triptych.contrib_models.pixtral import DEVIATION, MEAN, Resized
from triptych.errors import CheckpointError, SpecError
from triptych.weights import Checkpoint

CASES = {case.name: case for case in all_cases()}
NAMES = {  # of transformers, and theirs
    r"^(model\.)?language_model\.(model\.)?": "",
    r"^model\.": "",
    r"lm_head": "output",
    r"embed_tokens": "tok_embeddings",
    r"input_layernorm": "attention_norm",
    r"post_attention_layernorm": "ffn_norm",
    r"self_attn|(?<=\d\.)attention(?=\.)": "attention",
    r"([qkvo])_proj": r"w\1",
    r"mlp\.gate_proj|feed_forward\.gate_proj": "feed_forward.w1",
    r"mlp\.down_proj|feed_forward\.down_proj": "feed_forward.w2",
    r"mlp\.up_proj|feed_forward\.up_proj": "feed_forward.w3",
    r"^vision_tower\.": "vision_encoder.",
    r"multi_modal_projector\.linear_1": "vision_language_adapter.w_in",
    r"multi_modal_projector\.linear_2": "vision_language_adapter.w_out",
    r"multi_modal_projector\.norm": "pre_mm_projector_norm",
    r"multi_modal_projector\.patch_merger": "patch_merger",
}
SMALL_3_1 = {  # Mistral Small 3.1
    **{"dim": 5120, "n_layers": 40, "head_dim": 128, "hidden_dim": 32768, "n_heads": 32, "n_kv_heads": 8},
    **{"rope_theta": 1000000000.0, "norm_eps": 1e-05, "vocab_size": 131072, "max_position_embeddings": 131072},
    "vision_encoder": {
        **{"image_token_id": 10, "image_break_token_id": 12, "image_end_token_id": 13, "intermediate_size": 4096},
        **{"num_hidden_layers": 24, "num_attention_heads": 16, "mm_projector_id": "patch_merge"},
        **{"spatial_merge_size": 2, "hidden_size": 1024, "num_channels": 3, "image_size": 1540},
        **{"max_image_size": 1540, "patch_size": 14, "rope_theta": 10000.0, "add_pre_mm_projector_layer_norm": True},
        **{"adapter_bias": False},
    },
}
PIXTRAL_12B = {
    **{"dim": 5120, "n_layers": 40, "head_dim": 128, "hidden_dim": 14336, "n_heads": 32, "n_kv_heads": 8},
    **{"rope_theta": 1000000000.0, "norm_eps": 1e-05, "vocab_size": 131072},
    "vision_encoder": {
        **{"hidden_size": 1024, "num_channels": 3, "image_size": 1024, "patch_size": 16, "rope_theta": 10000.0},
        **{"intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16, "adapter_bias": True},
        **{"image_token_id": 10},
    },
}


def theirs(tensors: Mapping[str, Tensor], *, width: int, width_of_tower: int = 0) -> dict[str, Tensor]:
    """Under their names, the channels of a pair side by side in queries and keys, whose heads are so wide."""
    found = {}
    for name, tensor in tensors.items():
        other = name
        for pattern, word in NAMES.items():
            other = re.sub(pattern, word, other)
        if other.endswith(("attention.wq.weight", "attention.wk.weight")):
            head = width_of_tower if other.startswith("vision_encoder.") else width
            tensor = tensor.view(-1, 2, head // 2, tensor.shape[1]).transpose(1, 2).reshape(tensor.shape)  # noqa: PLW2901
        found[other] = tensor.contiguous()
    return found


def params(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a text model of transformers in their words."""
    words = {"dim": "hidden_size", "n_layers": "num_hidden_layers", "hidden_dim": "intermediate_size"}
    words |= {"n_heads": "num_attention_heads", "n_kv_heads": "num_key_value_heads", "norm_eps": "rms_norm_eps"}
    words |= {"tied_embeddings": "tie_word_embeddings"}
    words |= {key: key for key in ("head_dim", "vocab_size", "sliding_window")}
    return {key: config[word] for key, word in words.items()} | {"rope_theta": config["rope_parameters"]["rope_theta"]}


def vision(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a model that sees in their words."""
    own = config["vision_config"]
    kept = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "image_size", "patch_size")
    found = {key: own[key] for key in kept} | {"rope_theta": own["rope_parameters"]["rope_theta"], "num_channels": 3}
    joined = {"mm_projector_id": "patch_merge", "add_pre_mm_projector_layer_norm": True}
    more = joined | {"spatial_merge_size": config["spatial_merge_size"]} if "spatial_merge_size" in config else {}
    said = {"adapter_bias": config["multimodal_projector_bias"], "image_token_id": config["image_token_index"]}
    return params(config["text_config"]) | {"vision_encoder": found | said | more}


def saved(folder: Path, given: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Path:
    """A folder as they release one."""
    folder.mkdir()
    (folder / "params.json").write_text(json.dumps(given), encoding="utf-8")
    save_file(dict(tensors), folder / "consolidated.safetensors")
    return folder


@pytest.mark.parametrize(("window", "tied"), [(None, False), (7, True)])
def test_their_text_model_is_that_of_the_reference(window: int | None, *, tied: bool, folder: Path) -> None:
    config = (tiny_config("MistralForCausalLM") or {}) | {"sliding_window": window, "tie_word_embeddings": tied}
    oracle = build_oracle(config, folder, seed=5)
    tensors = theirs(load_file(folder / "model.safetensors"), width=config["head_dim"])
    ours = triptych.load(saved(folder / "theirs", params(config), tensors), dtype=torch.float32)
    ids = oracle.random_ids(40, seed=1)
    assert ours.name == "mistral_native"
    assert rms_ratio(ours.logits(ids), oracle.logits(ids)) <= TOLERANCE


@pytest.fixture(scope="module", params=["pixtral + mistral", "mistral 3 + mistral"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Oracle, Any]:
    """The reference, and ours loaded from their files."""
    given, folder = CASES[request.param], tmp_path_factory.mktemp("checkpoint")
    tower = dict(given.config["vision_config"]) | {"hidden_act": "silu"}
    case = Case(given.name, given.family, {**given.config, "vision_config": tower})
    both = Pair.of(case, folder)
    heads = {"width": case.config["text_config"]["head_dim"], "width_of_tower": 16}
    tensors = theirs(load_file(folder / "model.safetensors"), **heads)
    their = saved(folder / "theirs", vision(case.config), tensors)
    both.processor.tokenizer.save_pretrained(their)
    (their / "tokenizer_config.json").unlink()
    return both.oracle, triptych.load(their, dtype=torch.float32)


def images(sizes: Sequence[tuple[int, int]]) -> list[Image.Image]:
    generator = np.random.default_rng(3)
    return [picture(generator, size) for size in sizes]


@pytest.mark.parametrize("sizes", [(), SIZES[:1], SIZES[:3], SIZES])
def test_their_model_that_sees_is_that_of_the_reference(
    pair: tuple[Oracle, Any], sizes: tuple[tuple[int, int], ...]
) -> None:
    oracle, ours = pair
    pictures = images(sizes)
    text = " ".join(f"w{20 + n} [IMG]" for n in range(len(sizes))) + " w90 w91"
    (request,) = ours.requests(text, images=pictures, raw=True)
    media: dict[str, Tensor] = {}
    if pictures:
        pixels = [ours.processor("[IMG]", {"image": [each]}).mm_kwargs.get_data()["image"][0] for each in pictures]
        high, wide = (max(each.shape[axis] for each in pixels) for axis in (1, 2))
        padded = [pad(each, (0, wide - each.shape[2], 0, high - each.shape[1])) for each in pixels]
        sides = torch.tensor([each.shape[1:] for each in pixels])
        media = {"pixel_values": torch.stack(padded), "image_sizes": sides}
    ids = request.prompt.token_ids
    assert rms_ratio(ours.logits(ids, images=pictures), oracle.logits(ids, **media)) <= TOLERANCE


def test_released_configs_are_understood(folder: Path) -> None:
    for given, count in ((PIXTRAL_12B, 64 * 64), (SMALL_3_1, 55 * 55)):
        (folder / "params.json").write_text(json.dumps(given), encoding="utf-8")
        found = assemble(None, Checkpoint(folder).config)
        rule = found.tokens["image"]
        assert (found.name, rule.placeholder, rule.count(rule.largest({}), {})) == ("pixtral", 10, count)
    same = assemble(
        None, {"architectures": ["Mistral3ForConditionalGeneration"]}, overrides=["defaults.tie_word_embeddings=false"]
    )
    assert sum(p.numel() for p in found.module.parameters()) == sum(p.numel() for p in same.module.parameters())


def test_a_tower_or_projector_that_is_not_served_is_refused(folder: Path) -> None:
    for change, message in (
        ({"mm_projector_id": "conv"}, "`mm_projector_id: 'conv'`|joined_by"),
        ({"add_pre_mm_projector_layer_norm": False}, "has_norm_where_joined"),
    ):
        vision_encoder = {**SMALL_3_1["vision_encoder"], **change}  # type: ignore[dict-item]
        (folder / "params.json").write_text(
            json.dumps(SMALL_3_1 | {"vision_encoder": vision_encoder}), encoding="utf-8"
        )
        with pytest.raises(SpecError, match=message):
            assemble(None, Checkpoint(folder).config)


def test_a_file_of_parameters_that_no_spec_knows_is_refused_with_those_that_are_known(folder: Path) -> None:
    (folder / "params.json").write_text('{"dim": 64}', encoding="utf-8")
    with pytest.raises(
        CheckpointError, match=r"params.json: no spec answers for its keys; known: mistral_native by dim"
    ):
        triptych.load(folder)


@pytest.mark.parametrize(
    ("given", "side", "blocks"),
    [  # by the makers' own library; half a pixel below, these are other grids
        (PIXTRAL_12B, (2298, 684), (64, 20)),
        (PIXTRAL_12B, (3566, 3346), (64, 61)),
        (PIXTRAL_12B, (1761, 3631), (32, 64)),
        (SMALL_3_1, (5261, 2012), (55, 22)),
        (SMALL_3_1, (3075, 3315), (52, 55)),
        (SMALL_3_1, (29, 28), (2, 1)),
    ],
)
def test_a_large_image_is_brought_to_the_nearest_whole_pixels(
    given: Mapping[str, Any], side: tuple[int, int], blocks: tuple[int, int]
) -> None:
    rule = assemble(None, {**given, "architectures": ["PixtralForConditionalGeneration"]}).tokens["image"]
    assert rule.count(triptych.ImageFacts(*side), {}) == blocks[0] * blocks[1]


def cubic(line: np.ndarray[Any, Any], length: int) -> np.ndarray[Any, Any]:
    """A line of numbers at `length` places, by cubic convolution (Keys 1981, a = -0.75), its ends repeated."""
    found = np.zeros((length, *line.shape[1:]))
    for place in range(length):
        at = (place + 0.5) * len(line) / length - 0.5
        for near in range(int(np.floor(at)) - 1, int(np.floor(at)) + 3):
            d = abs(at - near)
            inner, outer = 1.25 * d**3 - 2.25 * d**2 + 1, -0.75 * (d**3 - 5 * d**2 + 8 * d - 4)
            found[place] += (inner if d <= 1 else outer) * line[min(max(near, 0), len(line) - 1)]
    return found


@pytest.mark.parametrize("side", [(28, 14), (20, 33), (90, 31)])
def test_pixels_are_those_of_a_cubic_without_smoothing(side: tuple[int, int]) -> None:
    given, (image,) = SMALL_3_1["vision_encoder"] | {"image_size": 56}, images([side])  # type: ignore[operator]
    rule = assemble(None, {**SMALL_3_1, "architectures": ["PixtralForConditionalGeneration"], "vision_encoder": given})
    size: Any = rule.tokens["image"].grid
    grid = size(triptych.ImageFacts(*side), {})
    numbers = cubic(cubic(np.asarray(image, float), grid.h * 14).swapaxes(0, 1), grid.w * 14).swapaxes(0, 1)
    wanted = (numbers / 255 - np.array(MEAN)) / np.array(DEVIATION)
    found = Resized(size)([image])["pixel_values"]
    np.testing.assert_allclose(found[0].permute(1, 2, 0).numpy(), wanted, atol=1e-4)
