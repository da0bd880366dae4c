"""A spec names its processor and its dummy inputs; without a name it has the generic ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import triptych
from tests.interface.hand_llava import Dummy, Info, Processor
from tests.interface.test_multimodal_interface import CASE
from tests.parity.multimodal import Pair
from triptych.errors import PluginError, SpecError
from triptych.inputs.processing import SpecDummyInputsBuilder, SpecProcessingInfo, SpecProcessor
from triptych.registry import named


class Shouting(SpecProcessor):
    """It encodes a text as if it were in lower case."""

    def encode(self, text: str, *, bare: bool = False) -> list[int]:
        return super().encode(text.lower(), bare=bare)


class OfItsOwnInfo(Processor):
    Info = Info


class Narrow(SpecDummyInputsBuilder):
    def get_dummy_mm_data(
        self, seq_len: int, mm_counts: Mapping[str, int], mm_options: Mapping[str, Mapping[str, int]]
    ) -> dict[str, object]:
        return super().get_dummy_mm_data(seq_len, mm_counts, {**mm_options, "image": {"width": 20}})


@pytest.fixture(autouse=True)
def _registered_here_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "_decorated", dict(named._decorated))
    for name, kind in {"shouting": Shouting, "of its own info": OfItsOwnInfo, "no processor": dict}.items():
        triptych.processor(name)(kind)
    for name, dummy in {"narrow": Narrow, "of its own info": Dummy}.items():
        triptych.dummy_inputs(name)(dummy)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Pair.of(CASE, tmp_path_factory.mktemp("named")).oracle.folder


def loaded(folder: Path, *overrides: str) -> Any:
    return triptych.load(folder, overrides=overrides).processor


def test_without_names_the_generic_ones_are_driven_by_the_spec(folder: Path) -> None:
    processor = loaded(folder)
    kinds = [type(it) for it in (processor, processor.info, processor.dummy_inputs)]
    assert kinds == [SpecProcessor, SpecProcessingInfo, SpecDummyInputsBuilder]


def test_a_named_processor_takes_its_place_and_leaves_the_others(folder: Path) -> None:
    processor = loaded(folder, "processor=shouting", "dummy_inputs=narrow")
    assert processor.encode("W5 W6") == loaded(folder).encode("w5 w6")
    assert type(processor.info) is SpecProcessingInfo
    dummy = processor.dummy_inputs.get_dummy_mm_data(9, {"image": 1}, {})["image"][0]
    assert dummy.size == (20, 56)


def test_a_named_processor_may_bring_an_info_of_its_own(folder: Path) -> None:
    processor = loaded(folder, "processor='of its own info'", "dummy_inputs='of its own info'")
    assert [type(it) for it in (processor, processor.info, processor.dummy_inputs)] == [OfItsOwnInfo, Info, Dummy]


def test_what_is_no_processor_is_refused(folder: Path) -> None:
    with pytest.raises(PluginError, match=r"of MultimodalModel cannot be built: TypeError: dict expected"):
        loaded(folder, "processor='no processor'")
    with pytest.raises(SpecError, match=r"processor: unknown processor 'shoutin'; did you mean 'shouting'\?"):
        loaded(folder, "processor=shoutin")


def test_the_names_are_listed() -> None:
    assert {"shouting", "of its own info"} <= set(named.processor_names())
