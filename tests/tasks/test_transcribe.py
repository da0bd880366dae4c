"""Sound to text: prompts, languages, clips and times, on a tiny Whisper."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast
from transformers.models.whisper.tokenization_whisper import LANGUAGES as THEIRS

import triptych
from tests.parity.hearing import RATE, frames, waveform, whisper
from triptych.capabilities import SpeechToTextConfig, SpeechToTextParams
from triptych.contrib_models.whisper import WhisperTranscription
from triptych.errors import CapabilityError, InputError, OptionError
from triptych.inputs.media.clips import clips
from triptych.tasks.transcript import Segment, segments_of

SPECIAL = {
    "<|endoftext|>": 217,
    "<|startoftranscript|>": 219,
    "<|en|>": 220,
    "<|de|>": 221,
    "<|ja|>": 222,
    "<|translate|>": 223,
    "<|transcribe|>": 224,
    "<|startofprev|>": 225,
    "<|notimestamps|>": 226,
}
FIRST = 227  # of the marks of time, for which the tokenizer has no text


def save_tokenizer(folder: Path) -> None:
    words = {f"w{n}": n for n in range(217)} | {"<unk>": 218} | SPECIAL
    backend = Tokenizer(WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    backend.add_special_tokens([*SPECIAL])
    PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", eos_token="<|endoftext|>").save_pretrained(
        folder
    )


def save_settings(folder: Path, **given: object) -> None:
    settings = {"is_multilingual": True, "no_timestamps_token_id": 226, "suppress_tokens": [*range(218, 227)], **given}
    (folder / "generation_config.json").write_text(json.dumps(settings), encoding="utf-8")


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Any:
    found = whisper(tmp_path_factory.mktemp("whisper"))
    save_tokenizer(found.folder)
    save_settings(found.folder)
    return found


@pytest.fixture(scope="module")
def model(oracle: Any) -> Any:
    return triptych.load(oracle.folder, dtype=torch.float32)


@torch.inference_mode()
def wanted_text(oracle: Any, prompt: list[int], sound: Any) -> list[int]:
    """The likeliest tokens of words one by one, by the reference, up to the end or the last place."""
    written = list(prompt)
    never = torch.tensor([*range(218, 227)])
    while len(written) < 129:
        logits = oracle.model(input_features=frames(oracle, sound), decoder_input_ids=torch.tensor([written])).logits[
            0, -1
        ]
        logits[never] = -torch.inf
        written.append(int(logits.argmax()))
        if written[-1] == 217:
            break
    return [token for token in written[len(prompt) :] if token != 217]


def test_a_sound_is_written_down_as_the_reference_does(oracle: Any, model: Any) -> None:
    found = model.transcribe(waveform(1), language="de")
    tokens = wanted_text(oracle, [219, 221, 224, 226], waveform(1))
    assert found.text == " ".join(f"w{token}" for token in tokens if token < 217)
    assert (found.language, found.duration, found.segments) == ("de", 1.0, ())


def test_a_language_that_is_not_said_is_found_out(oracle: Any, model: Any) -> None:
    logits = oracle.model(input_features=frames(oracle, waveform(2)), decoder_input_ids=torch.tensor([[219]])).logits[
        0, -1, 220:223
    ]
    assert model.transcribe(waveform(2)).language == ("en", "de", "ja")[int(logits.argmax())]


def test_task_words_before_and_language_are_in_the_prompt(model: Any) -> None:
    params = SpeechToTextParams(
        waveform(1),
        SpeechToTextConfig(),
        {"vocab_size": 51_865},
        language="ja",
        task_type="translate",
        request_prompt="w5 w6",
        timestamps=True,
    )
    asked = WhisperTranscription.get_generation_prompt(params)
    assert asked["decoder_prompt"] == "<|startofprev|> w5 w6<|startoftranscript|><|ja|><|translate|>"
    read = model.read_items(asked["decoder_prompt"], asked["encoder_prompt"]["multi_modal_data"])
    assert read.token_ids == (225, 5, 6, 219, 222, 223)


def test_what_a_model_of_english_alone_is_asked() -> None:
    def ask(**more: Any) -> Any:
        params = SpeechToTextParams(waveform(1), SpeechToTextConfig(), {"vocab_size": 51_864}, **more)
        return WhisperTranscription.get_generation_prompt(params)["decoder_prompt"]

    assert ask() == ask(language="en") == "<|startoftranscript|><|notimestamps|>"
    with pytest.raises(InputError, match="language: this model knows English alone, not 'de'"):
        ask(language="de")
    with pytest.raises(InputError, match="task: this model knows English alone, and translates nothing"):
        ask(task_type="translate")


def test_languages_are_those_of_the_reference() -> None:
    assert set(WhisperTranscription.supported_languages) == set(THEIRS)


def test_a_language_that_no_model_knows_is_refused(model: Any) -> None:
    with pytest.raises(InputError, match="'dee' is no code of a language"):
        model.transcribe(waveform(1), language="dee")


def test_long_sound_is_cut_into_clips_whose_texts_follow_each_other(model: Any) -> None:
    sound = np.concatenate([waveform(n, seconds=1.8) for n in (1, 2, 3)])
    told: list[tuple[int, int]] = []
    found = model.transcribe(sound, language="en", progress=lambda done, total: told.append((done, total)))
    pieces = [*clips(sound, SpeechToTextConfig(max_audio_clip_s=2))]
    texts = [model.transcribe(piece, language="en").text for _, piece in pieces]
    assert len(pieces) > 2
    assert found.text == " ".join(filter(None, texts))
    assert told == [(n + 1, len(pieces)) for n in range(len(pieces))]
    together = model.transcribe(sound, language="ja")
    assert together.text == "".join(model.transcribe(piece, language="ja").text for _, piece in pieces)


def test_times_are_told_where_they_are_asked_for(model: Any) -> None:
    found = model.transcribe(waveform(4, seconds=1.5), language="en", timestamps=True)
    assert found.segments
    assert all(0 <= each.start <= each.end <= 1.5 for each in found.segments)
    assert " ".join(each.text for each in found.segments) == found.text


class Words:
    """A tokenizer of numbers."""

    def decode(self, token_ids: list[int]) -> str:
        return " ".join(map(str, token_ids))


@pytest.mark.parametrize(
    ("tokens", "wanted"),
    [
        ([100, 1, 2, 150], [Segment(10.0, 11.0, "1 2")]),
        ([100, 1, 125, 125, 2, 150], [Segment(10.0, 10.5, "1"), Segment(10.5, 11.0, "2")]),
        ([110, 1], [Segment(10.2, 12.0, "1")]),
        ([100, 1, 900], [Segment(10.0, 12.0, "1")]),
        ([100, 150], []),
        ([], []),
        ([1, 2], [Segment(10.0, 12.0, "1 2")]),
    ],
)
def test_segments_stand_between_marks_and_end_with_the_clip(tokens: list[int], wanted: list[Segment]) -> None:
    tokenizer: Any = Words()
    assert [*segments_of(tokens, first_mark=100, tokenizer=tokenizer, start=10.0, end=12.0)] == wanted


def test_a_file_of_48_khz_in_stereo_is_heard(model: Any, tmp_path: Path) -> None:
    stereo = np.stack([waveform(1, rate=48_000), waveform(1, rate=48_000)])
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes((stereo.T * 32_767).astype("<i2").tobytes())
    found = model.transcribe(tmp_path / "a.wav", language="en")
    assert found.duration == 1.0
    assert found.text == model.transcribe((stereo, 48_000), language="en").text


def test_silence_and_a_single_sample_are_sound_and_nothing_is_none(model: Any) -> None:
    assert model.transcribe(np.zeros(RATE, np.float32), language="en").duration == 1.0
    assert model.transcribe([0.0], language="en").duration == 1 / RATE
    with pytest.raises(InputError, match="has no samples"):
        model.transcribe(np.zeros(0, np.float32), language="en")


def test_what_a_model_cannot_do_is_told(model: Any) -> None:
    told = "llama writes down no speech; of the registered specs these do: voxtral, whisper$"
    with pytest.raises(CapabilityError, match=told):
        triptych.random_init("llama").transcribe(waveform(1))
    with pytest.raises(OptionError, match="task: no task 'sing'; "):
        model.transcribe(waveform(1), task="sing")


def test_tokens_that_begin_no_transcript_are_those_of_the_checkpoints_settings(oracle: Any, model: Any) -> None:
    first = int(model.transcribe(waveform(1), language="en").text.split()[0].removeprefix("w"))
    save_settings(oracle.folder, begin_suppress_tokens=[first])
    try:
        words = model.transcribe(waveform(1), language="en").text.split()
    finally:
        save_settings(oracle.folder)
    assert words[0] != f"w{first}"


def test_segments_of_long_sound_stand_where_their_clips_do(model: Any) -> None:
    sound = np.concatenate([waveform(n, seconds=1.8) for n in (1, 2, 3)])
    found = model.transcribe(sound, language="en", timestamps=True).segments
    wanted = [
        (first / RATE + each.start, first / RATE + each.end, each.text)
        for first, piece in clips(sound, SpeechToTextConfig(max_audio_clip_s=2))
        for each in model.transcribe(piece, language="en", timestamps=True).segments
    ]
    assert [each.text for each in found] == [text for _, _, text in wanted]
    times = [(start, end) for start, end, _ in wanted]
    np.testing.assert_allclose([(each.start, each.end) for each in found], times, atol=2e-3)
    assert len({start // 1.5 for start, _ in times}) > 2
