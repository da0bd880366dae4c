"""Files of Gemma 3 and PaliGemma: every way of naming tensors, configs as released, processors that cut images."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import triptych
from tests.parity.gemma import GIVEN, Pair, all_cases
from tests.parity.multimodal import write_config
from tests.parity.oracle import TOLERANCE, rms_ratio
from tests.parity.test_llava_files import NAMES, in_released, sparse, stored
from triptych.errors import InputError
from triptych.weights import match, tables

CASES = [case for case in all_cases() if case.name in ("gemma3", "paligemma")]


@pytest.fixture(scope="module", params=CASES, ids=str)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("checkpoint")
    yield Pair.of(request.param, folder)
    shutil.rmtree(folder)


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_other_names_on_disk_give_the_same_model(pair: Pair, names: dict[str, str], tmp_path: Path) -> None:
    def renamed(name: str) -> str:
        prefix = max((old for old in names if name.startswith(f"{old}.")), key=len, default="")
        return names.get(prefix, "") + name.removeprefix(prefix)

    tensors = {renamed(name): t for name, t in load_file(pair.oracle.folder / "model.safetensors").items()}
    save_file(tensors, tmp_path / "model.safetensors")
    write_config(tmp_path, pair.oracle.config)
    found = triptych.load(tmp_path, dtype=torch.float32).module.state_dict()
    wanted = pair.model.module.state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_a_config_without_what_its_classes_assume_means_the_same(pair: Pair, tmp_path: Path) -> None:
    config = sparse(pair.oracle.model.config, pair.oracle.config)
    asked = pair.ask(images=1)
    wanted = pair.oracle.rewritten(config).logits(asked.ids, **asked.media)
    shutil.copytree(pair.oracle.folder, tmp_path, dirs_exist_ok=True)
    write_config(tmp_path, config)
    model = triptych.load(tmp_path, dtype=torch.float32)
    assert rms_ratio(model.logits(asked.ids, images=asked.images), wanted) <= TOLERANCE


@pytest.mark.parametrize("name", GIVEN["released"])
def test_a_released_file_fits_its_config(name: str) -> None:
    given = GIVEN["released"][name]
    made = getattr(transformers, given["architectures"][0])
    with torch.device("meta"):
        theirs = made(made.config_class(**copy.deepcopy(given)))
    ours = triptych.assemble(None, given)
    header = {in_released(n): stored(p) for n, p in theirs.named_parameters()}
    found = match(ours.module, tables(ours.plan.scopes), header)
    assert (found.table.name, found.findings) == ("released", ())
    rule = ours.tokens["image"]
    assert rule.count(rule.largest({}), {}) == 256
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


def test_a_processor_that_cuts_an_image_into_crops_is_told(tmp_path: Path) -> None:
    pair = Pair.of(CASES[0], tmp_path)
    for file in tmp_path.glob("*processor*.json"):
        config = json.loads(file.read_text("utf-8"))
        crops = {"do_pan_and_scan": True, "pan_and_scan_min_crop_size": 4, "pan_and_scan_max_num_crops": 2}
        of_images = config.get("image_processor", config)
        of_images.update(crops, pan_and_scan_min_ratio_to_activate=1.2)
        file.write_text(json.dumps(config), encoding="utf-8")
    asked = pair.ask(images=1)
    with pytest.raises(InputError, match=r"image\[0\]: expected shape \(3, 56, 56\), found \(3, 3, 56, 56\)"):
        pair.model.logits(asked.ids, images=asked.images)


def test_a_prompt_longer_than_the_window_of_paligemma_2_is_refused(tmp_path: Path) -> None:
    (case,) = (case for case in all_cases() if case.name == "paligemma 2")
    pair = Pair.of(case, tmp_path)
    model = triptych.load(tmp_path, dtype=torch.float32)
    assert model.module.context == case.config["text_config"]["sliding_window"] == 80
    asked = pair.ask(images=3, words=40)
    with pytest.raises(InputError, match="has 90 tokens, and the model takes at most 80"):
        model.logits(asked.ids, images=asked.images)
