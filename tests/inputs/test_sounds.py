"""Sounds of a prompt with places for them, whatever their length, rate and channels."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import triptych
from tests.parity.hearing import RATE, waveform
from tests.parity.sounding import Pair, all_cases
from triptych.errors import CheckpointError, InputError
from triptych.inputs.processing import SoundCutWarning
from triptych.inputs.processing.feature_extractor import load_feature_extractor

CASE = next(all_cases())
TARGET = "<|AUDIO|>"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair.of(CASE, tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def model(pair: Pair) -> Any:
    return pair.model


def test_a_sound_goes_to_the_model_with_the_number_of_its_rows(model: Any) -> None:
    (feature,) = model.read_items(f"w40 {TARGET} w41", {"audio": waveform(1, seconds=0.5)}).features
    assert feature.data["audio_grid"].data.tolist() == [25, 1, 1]
    assert list(feature.data["audio"].data.shape) == [32, 200]
    assert (feature.mm_position.offset, feature.mm_position.length) == (1, 12)


def test_sound_of_48_khz_in_stereo_is_heard_as_one_channel_of_the_models_rate(model: Any) -> None:
    stereo = np.stack([waveform(1, rate=48_000), waveform(1, rate=48_000)])
    (found,) = model.read_items(TARGET, {"audio": [(stereo, 48_000)]}).features
    (wanted,) = model.read_items(TARGET, {"audio": [waveform(1)]}).features
    assert found.mm_position.length == wanted.mm_position.length
    assert float((found.data["audio"].data - wanted.data["audio"].data).abs().mean()) < 0.05


def test_silence_is_a_sound(model: Any) -> None:
    (feature,) = model.read_items(TARGET, {"audio": np.zeros(RATE, np.float32)}).features
    assert feature.mm_position.length == 25


def test_of_a_sound_that_is_too_long_the_end_is_not_heard_and_that_is_told(model: Any) -> None:
    long = waveform(1, seconds=2.5)
    with pytest.warns(SoundCutWarning, match=r"audio\[1\]: has 2.5 s, of which the first 2 are heard"):
        _, cut = model.read_items(f"{TARGET} {TARGET}", {"audio": [waveform(2), long]}).features
    (whole,) = model.read_items(TARGET, {"audio": long[: 2 * RATE]}).features
    assert torch.equal(cut.data["audio"].data, whole.data["audio"].data)


@pytest.mark.parametrize("samples", [1, 320])
def test_a_sound_of_which_no_row_is_made_is_refused_by_its_number(model: Any, samples: int) -> None:
    message = rf"audio\[1\]: an item of {samples} samples is too small for this model, which makes no row of it"
    with pytest.raises(InputError, match=message):
        model.read_items(f"{TARGET} {TARGET}", {"audio": [waveform(samples + 7), waveform(2)[:samples]]})


def test_an_empty_sound_is_refused(model: Any) -> None:
    with pytest.raises(InputError, match=r"audio.*: has no samples"):
        model.read_items(TARGET, {"audio": [np.zeros(0, np.float32)]})


def test_sounds_and_places_that_do_not_fit_are_told_with_both_counts(model: Any) -> None:
    with pytest.raises(InputError, match=r"has 2 placeholders \(<\|AUDIO\|>\) for 1 audio; give 1 more audio"):
        model.read_items(f"{TARGET} w40 {TARGET}", {"audio": waveform(1)})
    with pytest.raises(InputError, match="image: the model takes no such items; known: audio"):
        model.read_items(TARGET, {"image": [np.zeros((8, 8, 3), np.uint8)]})


@pytest.mark.skipif(find_spec("torchaudio") is not None, reason="torchaudio is installed")
def test_an_extractor_that_insists_on_torchaudio_is_told_with_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text('{"feature_extractor_type": "MusicgenMelodyFeatureExtractor"}')
    with pytest.raises(CheckpointError, match=r"insists on torchaudio, which is not installed: pip install torchaudio"):
        load_feature_extractor(tmp_path)


def test_a_folder_without_a_feature_extractor_is_told(tmp_path: Path) -> None:
    pair = Pair.of(CASE, tmp_path)
    for file in tmp_path.glob("*processor_config.json"):
        file.unlink()
    with pytest.raises(CheckpointError, match="has no feature extractor that can be used"):
        pair.model.read_items(TARGET, {"audio": waveform(1)})


def test_grids_of_sounds_are_asked_for(model: Any) -> None:
    with pytest.raises(InputError, match="audio_grid: the grid of each of 1 items is needed; 0 are given"):
        model.module.embed_multimodal(audio=[torch.zeros(32, 200)])


def test_the_memory_of_the_largest_sound_is_known_before_there_is_one(model: Any) -> None:
    assert model.processor.info.get_mm_max_tokens_per_item(0, {"audio": 1}) == {"audio": 50}
    engine = triptych.Engine(model, kv_cache_memory=2**22)
    assert engine is not None
