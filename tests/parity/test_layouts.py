"""Checkpoints by the names that they were released with: all of them are known, and stand for what they did."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors import safe_open
from transformers.conversion_mapping import get_checkpoint_conversion_mapping

import triptych
from tests.parity.layouts import LAYOUTS, Layout, all_layouts, layouts_of
from tests.parity.oracle import TOLERANCE, Oracle, rms_ratio
from tests.parity.text import tolerance_of
from triptych.spec.catalog import catalog

gguf = pytest.importorskip("gguf")

ALL = list(all_layouts())
CONVERTED = [layout for layout in ALL if layout.gguf is not None]
# of files of other specs, and tried with those
INSIDE = ("mistral_native", "qwen2_vl_text", "qwen3_vl_text", "qwen3_vl_moe_text")


def conversions(spec: str) -> list[Any]:
    """What the reference makes of names of releases on reading them, where the class is that of the release."""
    case = layouts_of(spec)[0].own_case
    (name,) = case.config["architectures"]
    if case.alias is not None or not hasattr(transformers, name):
        return []
    known = get_checkpoint_conversion_mapping(name)
    return known or get_checkpoint_conversion_mapping(getattr(transformers, name).config_class.model_type) or []


CONVERTED_BY_THE_REFERENCE = [spec for spec in dict.fromkeys(layout.spec for layout in ALL) if conversions(spec)]


@pytest.fixture(scope="module", params=ALL, ids=str)
def released(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Layout, Oracle]]:
    folder = tmp_path_factory.mktemp("released")
    yield request.param, request.param.write(folder)
    shutil.rmtree(folder)


def names_in(folder: Path) -> set[str]:
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        return set(file.keys())


def test_the_files_hold_the_names_of_the_release(released: tuple[Layout, Oracle]) -> None:
    layout, oracle = released
    wanted = layout.filled(" ".join((layout.names, *layout.beside)))
    assert len(wanted) == len({*wanted})
    assert names_in(oracle.folder) == {*wanted}


def test_they_load_and_are_the_reference(released: tuple[Layout, Oracle]) -> None:
    layout, oracle = released
    ids = oracle.random_ids(57, seed=1)
    model = triptych.load(oracle.folder, dtype=torch.float32)
    assert triptych.assemble(None, oracle.config).name == layout.spec
    assert rms_ratio(model.logits(ids), oracle.logits(ids)) <= tolerance_of(model.module)


def test_the_reference_reads_them_itself(released: tuple[Layout, Oracle]) -> None:
    """Its own table of released names, where the class is one of transformers', is another witness."""
    layout, oracle = released
    if not hasattr(transformers, oracle.config["architectures"][0]):
        pytest.skip("released with code of its own")
    if layout.unread:
        pytest.skip(layout.unread)
    ids = oracle.random_ids(57, seed=1)
    again, missing = oracle.reread()
    assert not missing
    assert rms_ratio(again.logits(ids), oracle.logits(ids)) <= TOLERANCE


@pytest.mark.parametrize("layout", CONVERTED, ids=str)
def test_the_converter_to_gguf_knows_each_name(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    every = gguf.TensorNameMap.block_mappings_cfg  # which the table of an architecture changes for those after it
    monkeypatch.setattr(gguf.TensorNameMap, "block_mappings_cfg", dict(every))
    known = gguf.get_tensor_name_map(gguf.MODEL_ARCH[layout.gguf], layout.counts["i"])
    merged = {before_the_table(name) for name in layout.filled(layout.names)}
    found = {name: known.get_name(name.replace(layout.cut, "", 1), (".weight", ".bias")) for name in merged}
    outside = layout.filled(" ".join(layout.outside))
    assert {name for name, key in found.items() if key is None} == {*outside}
    keys = [key for key in found.values() if key is not None]
    assert len(keys) == len({*keys})


def before_the_table(name: str) -> str:
    """The name that the converter makes of one before it looks it up: experts stacked, biases of a module."""
    for old, new in {r"\.experts\.\d+\.": ".experts.", "e_score_correction_bias$": "e_score_correction.bias"}.items():
        name = re.sub(old, new, name)
    return re.sub("dt_bias$", "dt_proj.bias", name)


@pytest.mark.parametrize("spec", CONVERTED_BY_THE_REFERENCE)
def test_each_conversion_of_the_reference_is_one_of_a_name_here(spec: str) -> None:
    names = [name for layout in layouts_of(spec) for name in layout.filled(layout.names)]
    for rule in conversions(spec):  # each goes on from what those before it made of a name
        made = [new for new, known in map(rule.rename_source_key, names) if known is not None]
        assert made, rule
        names += made


def test_each_language_model_has_its_layouts() -> None:
    listed = {name for name, known in catalog().items() if known.kind == "language_model"}
    assert {path.stem for path in LAYOUTS.glob("*.yaml")} >= listed - {*INSIDE}
