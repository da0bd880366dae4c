"""Clips after the text of those before them, and clips in which nothing is said: as the reference has them."""

from __future__ import annotations

import json
import wave
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import GenerationConfig, PreTrainedTokenizerFast, WhisperForConditionalGeneration

import triptych
from tests.parity.hearing import frames, waveform, whisper
from triptych.capabilities import SpeechToTextConfig
from triptych.cli import main
from triptych.errors import CapabilityError, OptionError
from triptych.inputs.media.clips import clips
from triptych.tasks.attempts import Attempts
from triptych.tasks.fallback import Fallback
from triptych.tasks.in_turn import answers_in_turn, without_second_mark
from triptych.tasks.transcribe import Asked

SPECIAL = {
    "<unk>": 216,
    "<|endoftext|>": 217,
    "<|startofprev|>": 218,
    "<|startoftranscript|>": 219,
    "<|en|>": 220,
    "<|de|>": 221,
    "<|translate|>": 223,
    "<|transcribe|>": 224,
    "<|nospeech|>": 225,
    "<|notimestamps|>": 226,
}
ENDS = 40  # a word that the model often writes; in its place comes the end
SETTINGS = {
    "is_multilingual": True,
    "no_timestamps_token_id": 226,
    "suppress_tokens": [216, *range(218, 226), *range(228, 256)],
    "begin_suppress_tokens": [217],
    "prev_sot_token_id": 218,
    "decoder_start_token_id": 219,
    "lang_to_id": {"<|en|>": 220, "<|de|>": 221},
    "task_to_id": {"translate": 223, "transcribe": 224},
    "eos_token_id": 217,
    "pad_token_id": 217,
    "bos_token_id": 217,
    "max_length": 128,
}
SOUND = np.concatenate([waveform(n, seconds=1.8) for n in (1, 2, 3, 4)])
CLIPS = [piece for _, piece in clips(SOUND, SpeechToTextConfig(max_audio_clip_s=2))]


def save_tokenizer(folder: Path) -> None:
    words = {f"w{n}": n for n in range(216)} | SPECIAL | {f"<|{0.02 * n:.2f}|>": 227 + n for n in range(29)}
    backend = Tokenizer(WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    backend.add_special_tokens([*SPECIAL])
    PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", eos_token="<|endoftext|>").save_pretrained(
        folder
    )


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One that ends what it writes after some words."""
    found = whisper(tmp_path_factory.mktemp("whisper"), seed=1, tie_word_embeddings=False)
    found.model.proj_out.weight.data[217] = 1.1 * found.model.proj_out.weight.data[ENDS]
    file = found.folder / "model.safetensors"
    save_file(load_file(file) | {"proj_out.weight": found.model.proj_out.weight.data.clone()}, file)
    save_tokenizer(found.folder)
    (found.folder / "generation_config.json").write_text(json.dumps(SETTINGS), encoding="utf-8")
    return found


@pytest.fixture(scope="module")
def model(oracle: Any) -> Any:
    return triptych.load(oracle.folder, dtype=torch.float32)


def wanted(oracle: Any, *, prompt: tuple[int, ...] = (), **asked: Any) -> list[int]:
    """The tokens of all clips, by the reference's loop over windows, in each of which one clip is heard."""
    reference: WhisperForConditionalGeneration = oracle.model
    reference.generation_config = GenerationConfig(**SETTINGS)
    found: Any = reference.generate(
        torch.cat([frames(oracle, piece) for piece in CLIPS], -1),
        return_timestamps=True,
        language="en",
        task="transcribe",
        temperature=(0.0,),
        condition_on_prev_tokens=True,
        prompt_ids=torch.tensor([218, *prompt]) if prompt else None,
        **asked,
    )
    return [token for token in found[0].tolist() if token != 217]


def known(model: Any) -> Asked:
    return Asked.of(model, task="transcribe", timestamps=True)


def prompts(model: Any) -> list[Any]:
    return [known(model).prompt(piece, "en", "") for piece in CLIPS]


def answers(model: Any, *, before: tuple[int, ...] = (), **asked: Any) -> list[list[int]]:
    return answers_in_turn(known(model), prompts(model), Fallback(**asked), before=before, tell=lambda: None)


LONG = tuple(range(10, 80))  # more than there is room for


@pytest.mark.parametrize("before", [(), (5, 6, 7), LONG], ids=len)
def test_clips_are_written_after_what_was_said_before_as_the_reference_does(
    oracle: Any, model: Any, before: tuple[int, ...]
) -> None:
    found = answers(model, before=before)
    assert [*chain(*found)] == wanted(oracle, prompt=before)
    apart = Attempts(known(model), prompts(model), Fallback(), 4, None).answers()
    assert found[1:] != apart[1:]
    assert (found[0] == apart[0]) is not before


def test_a_clip_that_is_silent_and_hardly_believed_has_no_text_as_in_the_reference(oracle: Any, model: Any) -> None:
    lengths = set()
    for silence, logprob in ((0.003, 1.0), (0.003, -1.8), (0.0, -1.8)):
        found = answers(model, logprob=logprob, silence=silence)
        assert [*chain(*found)] == wanted(oracle, logprob_threshold=logprob, no_speech_threshold=silence)
        lengths.add(tuple(map(bool, found)))
    assert len(lengths) == 3
    assert all(answers(model, logprob=1.0, silence=1.0))


def test_a_silent_clip_is_tried_no_hotter_and_asked_once_whether_it_is(model: Any) -> None:
    told: list[tuple[int, int]] = []
    asked: Any = {"language": "en", "logprob_threshold": 1.0, "seed": 3, "progress": lambda *each: told.append(each)}
    found = model.transcribe(SOUND, temperature=(0.0, 0.4), no_speech_threshold=0.0, **asked)
    assert (found.text, found.segments) == ("", ())
    assert told == [(n, 5) for n in range(1, 6)]
    attempts = Attempts(known(model), prompts(model)[:2], Fallback((0.0, 0.4, 0.9), logprob=1.0, silence=0.99), 2, None)
    attempts.answers()
    assert attempts.temperatures == [0.9, 0.9]
    assert {*attempts._silences} == {0, 1}


@pytest.mark.parametrize("hot", [0.4, 0.5])
def test_after_a_clip_that_is_drawn_hot_only_what_was_given_comes_before(model: Any, hot: float) -> None:
    """Poor at every temperature, so that each stands as the last has it."""
    before, asked = (5, 6, 7), {"logprob": 1.0, "seed": 4}
    found = answers(model, before=before, temperatures=(0.0, hot), **asked)
    said = [*before]
    for number, (tokens, prompt) in enumerate(zip(found, prompts(model), strict=True)):
        given = before if hot >= 0.5 or not number else said
        after = known(model).after(given, prompt)
        assert after.token_ids == (218, *given[-63:], *prompt.token_ids)
        (alone,) = Attempts(known(model), [after], Fallback((hot,), logprob=1.0, seed=4 + number), 1, None).answers()
        assert tokens == alone
        said += tokens


def test_of_two_marks_at_the_end_of_a_clip_one_is_said_before_the_next(model: Any) -> None:
    asked = known(model)
    for tokens, kept in (([227, 5, 230, 230], 3), ([227, 5, 230], 3), ([227, 5], 2), ([230, 230], 2)):
        assert len(without_second_mark(asked, tokens)) == kept


def test_options_are_those_of_the_call_and_of_the_shell(
    oracle: Any, model: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = model.transcribe(SOUND, language="en", timestamps=True, prompt="w5 w6 w7", condition_on_previous_text=True)
    marked = [f"w{token}" for tokens in answers(model, before=(5, 6, 7)) for token in tokens if token < 216]
    assert found.text.split() == marked
    assert found.text != model.transcribe(SOUND, language="en", timestamps=True, prompt="w5 w6 w7").text
    write_wav(tmp_path / "a.wav", SOUND)
    flags = ["--language", "en", "--timestamps", "--format", "json", "--prompt", "w5 w6 w7", "--dtype", "float32"]
    shell = ["transcribe", str(oracle.folder), str(tmp_path / "a.wav"), *flags]
    assert main([*shell, "--condition-on-previous-text"]) == 0
    assert json.loads(capsys.readouterr().out)["text"].split() == marked
    assert main([*shell, "--no-speech-threshold", "0", "--logprob-threshold", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == ""


def write_wav(path: Path, samples: Any) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((samples * 32_767).astype("<i2").tobytes())


def test_what_needs_more_is_told(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match=r"no_speech_threshold: .*; give logprob_threshold"):
        model.transcribe(SOUND, language="en", no_speech_threshold=0.6)
    for wrong in (7.0, -0.1, float("nan"), True):
        with pytest.raises(OptionError, match=f"no_speech_threshold: is {wrong!r}; a"):
            model.transcribe(SOUND, language="en", no_speech_threshold=wrong, logprob_threshold=-1.0)
    with pytest.raises(OptionError, match="logprob_threshold: is nan; a finite number is wanted"):
        model.transcribe(SOUND, language="en", logprob_threshold=float("nan"))
    monkeypatch.setattr(model.module, "get_silence_token_ids", lambda *_: None)
    with pytest.raises(CapabilityError, match="does not tell whether anything is said; leave no_speech_threshold out"):
        model.transcribe(SOUND, language="en", no_speech_threshold=0.6, logprob_threshold=-1.0)
    monkeypatch.setattr(model.module, "get_previous_text_token_id", lambda *_: None)
    with pytest.raises(CapabilityError, match="no place for what was said before; leave condition_on_previous_text"):
        model.transcribe(SOUND, language="en", condition_on_previous_text=True)
