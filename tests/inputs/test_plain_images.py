"""Images by plain steps: to the bit what transformers' classes give, and theirs where more is asked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor

from triptych.errors import CheckpointError, InputError
from triptych.inputs.media import ProcessorKeywordWarning
from triptych.inputs.processing.image_processor import ImageProcessor, load_image_processor
from triptych.inputs.processing.plain_images import PlainImages
from triptych.inputs.processing.plain_steps import DEFAULTS

Settings = dict[str, Any]
WIDE = {"height": 9, "width": 33}
SAID: list[Settings] = [
    {},
    {"size": {"shortest_edge": 20}, "crop_size": {"height": 18, "width": 18}},
    {"size": 20, "crop_size": 18},
    {"size": 20, "default_to_square": True},
    {"size": 20, "default_to_square": False},
    {"size": WIDE},
    {"size": WIDE, "do_center_crop": True, "crop_size": {"height": 14, "width": 20}},
    {"size": WIDE, "do_center_crop": True, "crop_size": {"height": 4, "width": 60}},
    {"do_resize": False, "do_center_crop": True, "crop_size": WIDE},
    *[{"size": WIDE, "resample": number} for number in range(6)],
    {"size": WIDE, "do_normalize": False},
    {"size": WIDE, "do_rescale": False},
    {"size": WIDE, "do_rescale": False, "do_normalize": False},
    {"size": WIDE, "rescale_factor": 1 / 127.5, "image_mean": 0.1, "image_std": [0.1, 2.0, 3.0]},
    {"size": WIDE, "do_pad": True},  # to as much as the largest image of several has
    {"size": WIDE, "do_pad": False, "pad_size": None, "data_format": "channels_first", "mine": 3, "other": None},
    {"size": WIDE, "processor_class": "A", "auto_map": {"AutoImageProcessor": "theirs.B"}},
]
FULLY = ("CLIPImageProcessor", "SiglipImageProcessor")
MORE: list[Settings] = [  # what is left to transformers
    {"size": {"shortest_edge": 20, "longest_edge": 40}},
    {"size": [20, 31]},
    {"size": WIDE, "image_mean": [0.5, 0.5, 0], "image_std": [1, 1.0, 1.0]},
    {"size": WIDE, "do_pad": True, "pad_size": {"height": 400, "width": 400}},
    {"size": WIDE, "image_mean": [0, 0, 0]},
    {"size": WIDE, "do_normalize": None},
    {"size": WIDE, "use_square_size": False, "crop_size": None, "do_center_crop": None},
]


def written(folder: Path, settings: Settings, name: str = "preprocessor_config.json") -> Path:
    (folder / name).write_text(json.dumps(settings), encoding="utf-8")
    return folder


def theirs(folder: Path) -> Any:
    return AutoImageProcessor.from_pretrained(folder, backend="pil", local_files_only=True)


def is_plain(found: ImageProcessor) -> bool:
    return isinstance(found._processor, PlainImages)


def drawn(height: int, width: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8))


def check_same(ours: ImageProcessor, reference: Any, **keywords: Any) -> None:
    for size in [(1, 1), (20, 31), (47, 18), (300, 301), (3, 200)]:
        found = ours(drawn(*size), name="image", **keywords)
        wanted = reference(images=[drawn(*size)], return_tensors="pt", **keywords)["pixel_values"][0]
        assert found.dtype == wanted.dtype
        assert torch.equal(found, wanted)


@pytest.mark.parametrize(
    ("kind", "said"), [(kind, said) for kind in DEFAULTS for said in (SAID if kind in FULLY else SAID[:4])], ids=str
)
def test_tensors_and_settings_are_those_of_transformers(kind: str, said: Settings, tmp_path: Path) -> None:
    folder = written(tmp_path, {"image_processor_type": kind, **said})
    ours, reference = load_image_processor(folder), theirs(folder)
    assert is_plain(ours)
    assert ours.config == reference.to_dict()
    check_same(ours, reference)


@pytest.mark.parametrize("said", MORE, ids=str)
@pytest.mark.parametrize("kind", ["CLIPImageProcessor", "SiglipImageProcessor"])
def test_what_asks_for_more_is_left_to_transformers(kind: str, said: Settings, tmp_path: Path) -> None:
    folder = written(tmp_path, {"image_processor_type": kind, **said})
    ours, reference = load_image_processor(folder), theirs(folder)
    assert ours.config == reference.to_dict()
    check_same(ours, reference)


@pytest.mark.parametrize(
    "keywords", [{"size": WIDE}, {"size": 12}, {"do_resize": False}, {"do_pad": True, "pad_size": 400}, {"resample": 0}]
)
def test_a_call_is_told_otherwise_as_transformers_is(keywords: Settings, tmp_path: Path) -> None:
    folder = written(tmp_path, {"image_processor_type": "SiglipImageProcessor", "size": WIDE})
    ours = load_image_processor(folder)
    assert is_plain(ours)
    check_same(ours, theirs(folder), **keywords)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"image_processor_type": "CLIPImageProcessorFast"}, "preprocessor_config.json"),
        ({"feature_extractor_type": "CLIPFeatureExtractor", "size": 20, "crop_size": 18}, "preprocessor_config.json"),
        ({"image_processor": {"image_processor_type": "CLIPImageProcessor", "size": WIDE}}, "processor_config.json"),
    ],
)
def test_files_of_other_times_are_read(settings: Settings, name: str, tmp_path: Path) -> None:
    written(tmp_path, {"image_processor_type": "ViTImageProcessor", "size": {"height": 5, "width": 5}})
    folder = written(tmp_path, settings, name)
    ours, reference = load_image_processor(folder), theirs(folder)
    assert is_plain(ours)
    assert ours.config == reference.to_dict()
    check_same(ours, reference)


def test_what_is_saved_is_read_again_by_both(tmp_path: Path) -> None:
    made = load_image_processor(written(tmp_path, {"image_processor_type": "ViTImageProcessor", "size": WIDE}))
    (again := tmp_path / "again").mkdir()
    made.save(again)
    assert load_image_processor(again).config == made.config == theirs(again).to_dict()
    theirs(tmp_path).save_pretrained(tmp_path / "theirs")
    name = "preprocessor_config.json"
    assert json.loads((again / name).read_text()) == json.loads((tmp_path / "theirs" / name).read_text())


def test_a_keyword_mistyped_and_a_value_that_is_no_good_are_told_as_of_others(tmp_path: Path) -> None:
    made = load_image_processor(written(tmp_path, {"image_processor_type": "ViTImageProcessor", "size": WIDE}))
    with pytest.warns(ProcessorKeywordWarning, match="do_resise: .* did you mean 'do_resize'"):
        assert made.accepted({"do_resise": True}) == {}
    for keywords in [
        {"size": {"height": 0, "width": 3}},
        {"size": {"height": -1, "width": 3}},
        {"do_normalize": "yes"},
    ]:
        with pytest.raises(InputError, match="refuses it: "):
            made(drawn(4, 4), name="image", **keywords)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"auto_map": 5, "feature_extractor_type": 3}', '{"image_processor_type": "NoSuch"}']
)
def test_a_file_that_is_no_good_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match="has no image processor that can be used"):
        load_image_processor(tmp_path)


def test_transformers_is_not_imported(tmp_path: Path) -> None:
    written(tmp_path, {"image_processor_type": "SiglipImageProcessor", "size": WIDE})
    code = f"""
import sys
from pathlib import Path
from PIL import Image
from triptych.inputs.processing.image_processor import load_image_processor
made = load_image_processor(Path({str(tmp_path)!r}))
assert made(Image.new("RGB", (4, 4)), name="image", **made.accepted({{"size": {WIDE!r}}})).shape == (3, 9, 33)
print(sorted({{"transformers", "scipy"}} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
