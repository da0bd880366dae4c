"""Files of models with an image tower: names of tensors, configs that leave things out, configs as released."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import LlavaConfig, LlavaForConditionalGeneration

import triptych
from tests.parity.multimodal import GIVEN, Pair, all_cases, picture, write_config
from tests.parity.oracle import TOLERANCE, rms_ratio
from tests.parity.processors import CROPS
from triptych.settings import MultiModalSettings
from triptych.spec.item_facts import ImageFacts
from triptych.weights import Stored, match, tables

ALL = {case.name: case for case in all_cases()}
CASES = [
    case
    for case in ALL.values()
    if case.name.split(",")[0] in ("clip + llama", "clip + granite", "siglip + gemma2")
    or case.name in ("next, clip + llama", "onevision, siglip + qwen2", "gemma3", "paligemma")
]
OF_FAMILIES = ["clip + llama", "siglip + gemma2", "next, clip + llama", "onevision, siglip + qwen2", "internvl + qwen2"]
OF_FAMILIES += ["mistral 3 + mistral", "idefics3 + llama", "gemma3", "paligemma", "paligemma 2"]
NAMES: dict[str, dict[str, str]] = {  # prefix in a file that transformers 5 writes -> in other files
    "released": {"vision_tower": "vision_tower.vision_model"},
    "nested": {
        "vision_tower": "model.vision_tower",
        "multi_modal_projector": "model.multi_modal_projector",
        "language_model.model": "model.language_model",
        "language_model.lm_head": "lm_head",
        "image_newline": "model.image_newline",
    },
}
NAMES["nested, released tower"] = NAMES["nested"] | {"vision_tower": "model.vision_tower.vision_model"}
TAKEN = {  # for 480 x 640, as its processor counts
    "llava 1.6 mistral 7b": 2340,
    "onevision qwen2 0.5b": 2929,
    "paligemma 3b 224": 256,
    "paligemma 2 3b 448": 1024,
    "gemma 3 4b": 256,
    "idefics3 8b": 13 * 169,
    "mistral small 3.1": 18 * 23,
    "internvl3 8b, as transformers has it": 13 * 256,
}
BARE = ("mistral small 3.1", "internvl3 8b, as transformers has it")  # towers that stand in no `vision_model`


@pytest.fixture(scope="module", params=CASES, ids=str)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("checkpoint")
    yield Pair.of(request.param, folder)
    shutil.rmtree(folder)


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_other_names_on_disk_give_the_same_model(pair: Pair, names: dict[str, str], tmp_path: Path) -> None:
    def renamed(name: str) -> str:
        prefix = max((old for old in names if f"{name}.".startswith(f"{old}.")), key=len, default="")
        return names.get(prefix, "") + name.removeprefix(prefix)

    tensors = {renamed(name): t for name, t in load_file(pair.oracle.folder / "model.safetensors").items()}
    tower = renamed("vision_tower.embeddings").removesuffix(".embeddings")
    tensors[f"{tower}.embeddings.position_ids"] = torch.arange(17)[None]  # as older files have
    save_file(tensors, tmp_path / "model.safetensors")
    write_config(tmp_path, pair.oracle.config)
    found = triptych.load(tmp_path, dtype=torch.float32).module.state_dict()
    wanted = pair.model.module.state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_a_config_without_what_its_classes_assume_means_the_same(pair: Pair, tmp_path: Path) -> None:
    config = sparse(pair.oracle.model.config, pair.oracle.config)
    assert config["vision_config"].keys() < pair.oracle.config["vision_config"].keys()
    asked = pair.ask(images=1)
    wanted = pair.oracle.rewritten(config).logits(asked.ids, **asked.media)
    assert rms_ratio(wanted, pair.wanted(asked)) <= TOLERANCE
    shutil.copytree(pair.oracle.folder, tmp_path, dirs_exist_ok=True)
    write_config(tmp_path, config)
    model = triptych.load(tmp_path, dtype=torch.float32)
    assert rms_ratio(model.logits(asked.ids, images=asked.images), wanted) <= TOLERANCE


@pytest.mark.parametrize("name", OF_FAMILIES)
@pytest.mark.parametrize(("parent", "text"), [(None, None), (None, True), (False, True), (True, False)])
def test_a_head_is_tied_where_the_reference_ties_it(name: str, parent: bool | None, text: bool | None) -> None:
    config = copy.deepcopy(dict(ALL[name].config))
    for own, tied in ((config, parent), (config["text_config"], text)):
        own.pop("tie_word_embeddings", None)
        own.update({} if tied is None else {"tie_word_embeddings": tied})
    family = getattr(transformers, config["architectures"][0])
    with torch.device("meta"):
        theirs = family(family.config_class(**copy.deepcopy(config)))
    wanted = theirs.get_output_embeddings().weight is theirs.get_input_embeddings().weight
    assert triptych.assemble(None, config).module.get_language_model().head.tied == wanted


def test_a_config_that_names_no_tower_means_that_of_the_class() -> None:
    few = {"vision_feature_layer": -1, "text_config": {"model_type": "llama", "num_hidden_layers": 1}}
    with torch.device("meta"):
        theirs = LlavaForConditionalGeneration(LlavaConfig(**few))
    ours = triptych.assemble(None, {"architectures": ["LlavaForConditionalGeneration"], **few}).module
    wanted = sum(p.numel() for name, p in theirs.named_parameters() if "post_layernorm" not in name)
    assert sum(p.numel() for p in ours.parameters()) == wanted


@pytest.mark.parametrize("name", GIVEN["released"])
def test_a_released_file_fits_its_config(name: str) -> None:
    config = {"architectures": ["LlavaForConditionalGeneration"], "model_type": "llava", **GIVEN["released"][name]}
    family = getattr(transformers, config["architectures"][0])
    with torch.device("meta"):
        theirs = family(family.config_class(**copy.deepcopy(config)))
    ours = triptych.assemble(None, config)
    header = {in_released(n, of=name): stored(p) for n, p in theirs.named_parameters()}
    found = match(ours.module, tables(ours.plan.scopes), header)
    assert (found.table.name, found.findings) == ("" if name in (*BARE, "idefics3 8b") else "released", ())
    assert ours.tokens["image"].count(ImageFacts(480, 640), {}) == TAKEN.get(name, config.get("image_seq_length", 576))
    assert ours.module.context == theirs.config.text_config.max_position_embeddings


def test_of_a_config_that_is_silent_all_is_as_its_class_has_it() -> None:
    with torch.device("meta"):
        theirs = transformers.PaliGemmaForConditionalGeneration(transformers.PaliGemmaConfig())
    ours = triptych.assemble(None, {"architectures": ["PaliGemmaForConditionalGeneration"]}).module
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())


def test_ids_in_which_targets_stand_are_those_of_the_text(pair: Pair) -> None:
    asked = pair.ask(images=2)
    if pair.case.family == "Gemma3":
        text = " ".join(asked.text.split("\n"))  # without what would be one token with the newlines of an image
        (wanted,) = pair.model.requests(text, images=asked.images, raw=True)
        ids = pair.processor.tokenizer(text)["input_ids"]
        (found,) = pair.model.requests([ids], images=[asked.images], raw=True)
        assert found.prompt.token_ids == wanted.prompt.token_ids
        assert found.prompt.blocks == wanted.prompt.blocks
    (written,) = pair.model.requests([list(asked.ids)], images=[asked.images])
    assert written.prompt.token_ids == asked.ids


def test_crops_are_cut_where_the_file_or_the_settings_say_so_and_as_the_class_has_it_of_what_they_do_not_say(
    tmp_path: Path,
) -> None:
    pair = Pair.of(ALL["gemma3, with crops"], tmp_path)
    asked = pair.ask(images=3)
    wanted = pair.model.logits(asked.ids, images=asked.images)
    (file,) = tmp_path.glob("*processor*.json")
    config = json.loads(file.read_text("utf-8"))
    config["image_processor"] |= dict.fromkeys(CROPS)  # as released files are
    file.write_text(json.dumps(config), encoding="utf-8")
    silent = triptych.load(tmp_path, dtype=torch.float32)
    (request,) = silent.requests(asked.text, images=asked.images, raw=True)
    assert len(request.prompt.item_ranges()) == 3
    asking = triptych.load(tmp_path, dtype=torch.float32, multimodal=MultiModalSettings(processor={"images": CROPS}))
    (request,) = asking.requests(asked.text, images=asked.images, raw=True)
    assert request.prompt.token_ids == asked.ids
    assert torch.equal(asking.logits(asked.ids, images=asked.images), wanted)
    one = MultiModalSettings(processor={"do_pan_and_scan": True})
    images = [picture(np.random.default_rng(0), size) for size in ((300, 900), (250, 900), (900, 900), (256, 2000))]
    (request,) = triptych.load(tmp_path, multimodal=one).requests(["w30"], images=[images], raw=True)
    assert len(request.prompt.item_ranges()) == 4 + 1 + 1 + 5


@pytest.mark.parametrize("images", [1, 3])
def test_targets_of_images_with_crops_may_stand_in_token_ids(images: int, tmp_path: Path) -> None:
    pair = Pair.of(ALL["gemma3, with crops"], tmp_path)
    asked = pair.ask(images=images)
    text = " ".join(asked.text.split("\n"))
    (wanted,) = pair.model.requests(text, images=asked.images, raw=True)
    ids = pair.processor.tokenizer(text)["input_ids"]
    (found,) = pair.model.requests([ids], images=[asked.images], raw=True)
    assert found.prompt.token_ids == wanted.prompt.token_ids
    assert found.prompt.blocks == wanted.prompt.blocks


def in_released(name: str, *, of: str) -> str:
    """A parameter of the reference in memory -> its name in the released files of a model."""
    if of == "idefics3 8b":
        return name
    name = name.removeprefix("model.")
    name = name if of in BARE else name.replace("vision_tower.", "vision_tower.vision_model.")
    if name.startswith("lm_head"):
        return f"language_model.{name}"
    return name.replace("language_model.", "language_model.model.")


def stored(parameter: Tensor) -> Stored:
    return Stored(Path("model.safetensors"), tuple(parameter.shape), parameter.dtype, 0, 0)


def sparse(read: Any, config: dict[str, Any]) -> dict[str, Any]:
    """A config, and the sub-configs in it, without the keys whose values are those of their classes."""
    assumed = type(read)().to_dict()
    found = {key: value for key, value in config.items() if key == "architectures" or value != assumed.get(key)}
    for name in ("vision_config", "text_config"):
        of_class = type(getattr(read, name))().to_dict()
        found[name] = {k: v for k, v in config[name].items() if k == "model_type" or v != of_class.get(k)}
    return found | {"model_type": config["model_type"]}
