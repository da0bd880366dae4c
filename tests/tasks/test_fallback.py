"""Speech that is written down anew, more freely: when, by the reference's own measures, and what stands then."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.models.whisper.generation_whisper import WhisperGenerationMixin

import triptych
from tests.parity.hearing import frames, waveform, whisper
from tests.tasks.test_transcribe import save_settings, save_tokenizer
from triptych.errors import OptionError
from triptych.tasks.attempts import Attempts
from triptych.tasks.fallback import Fallback, compression_ratio
from triptych.tasks.transcribe import Asked

NEVER = [*range(218, 227)]
SOUND = np.concatenate([waveform(n, seconds=1.8) for n in (1, 2)])


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Any:
    found = whisper(tmp_path_factory.mktemp("whisper"))
    save_tokenizer(found.folder)
    save_settings(found.folder)
    return found


@pytest.fixture(scope="module")
def model(oracle: Any) -> Any:
    return triptych.load(oracle.folder, dtype=torch.float32)


@given(st.lists(st.integers(0, 299), min_size=1, max_size=60), st.sampled_from([300, 51_865, 65_535, 65_536, 70_000]))
def test_a_text_is_as_much_shorter_as_the_reference_finds_it(tokens: list[int], vocab_size: int) -> None:
    wanted = WhisperGenerationMixin._retrieve_compression_ratio(torch.tensor(tokens), vocab_size)
    assert compression_ratio(tokens, vocab_size) == wanted


def attempt(model: Any, sound: Any, temperature: float, *, timestamps: bool = False) -> tuple[list[int], float]:
    """The tokens of a clip, with the one that ended it, and their mean logprob."""
    asked = Asked.of(model, task="transcribe", timestamps=timestamps)
    prompt, fallback = asked.prompt(sound, "en", ""), Fallback(logprob=0.0, seed=3)
    ((_, tokens, mean),) = Attempts(asked, [prompt], fallback, 1, None)._attempts([0], temperature)
    return tokens, mean


@torch.inference_mode()
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_the_mean_logprob_is_that_of_the_reference(oracle: Any, model: Any, temperature: float) -> None:
    tokens, mean = attempt(model, waveform(1), temperature)
    ids = torch.tensor([[219, 220, 224, 226, *tokens[:-1]]])
    scores = oracle.model(input_features=frames(oracle, waveform(1)), decoder_input_ids=ids).logits[0, 3:]
    scores[:, NEVER] = -torch.inf
    drawn_from = scores / temperature if temperature else scores
    wanted = WhisperGenerationMixin._retrieve_avg_logprobs(drawn_from.unbind(), torch.tensor(tokens), temperature)
    assert mean == pytest.approx(float(wanted), abs=1e-4)


@pytest.mark.parametrize("asked", [{"logprob_threshold": 1.0}, {"compression_ratio_threshold": 0.0}])
def test_a_clip_that_is_poor_at_every_temperature_stands_as_the_last_one_has_it(model: Any, asked: Any) -> None:
    told: list[tuple[int, int]] = []
    found = model.transcribe(
        SOUND, language="en", temperature=(0.0, 0.4, 0.9), seed=3, progress=lambda *each: told.append(each), **asked
    )
    last = model.transcribe(SOUND, language="en", temperature=0.9, seed=3)
    assert found.text == last.text != model.transcribe(SOUND, language="en").text
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_what_is_not_poor_stands_as_it_is(model: Any) -> None:
    asked: Any = {"logprob_threshold": -1e9, "compression_ratio_threshold": 1e9}
    found = model.transcribe(SOUND, language="en", temperature=(0.0, 0.9), seed=3, **asked)
    assert found.text == model.transcribe(SOUND, language="en").text


def test_of_several_clips_the_poor_ones_alone_are_written_anew(model: Any) -> None:
    asked = Asked.of(model, task="transcribe", timestamps=False)
    prompts = [asked.prompt(waveform(n), "en", "") for n in (1, 2)]
    cold, warm = (Attempts(asked, prompts, Fallback((t,), seed=3), 2, None).answers() for t in (0.0, 4.0))
    means = [attempt(model, waveform(n), 0.0)[1] for n in (1, 2)]
    assert means[0] != means[1]
    between = Fallback((0.0, 4.0), logprob=sum(means) / 2, seed=3)
    wanted = [warm[n] if means[n] < sum(means) / 2 else cold[n] for n in range(2)]
    assert Attempts(asked, prompts, between, 2, None).answers() == wanted
    assert cold[0] != warm[0]
    assert cold[1] != warm[1]
    assert 217 not in {token for tokens in (*cold, *warm) for token in tokens}


def test_times_are_scored_among_what_may_come(model: Any) -> None:
    tokens, mean = attempt(model, waveform(4), 0.0, timestamps=True)
    assert tokens
    assert -10 < mean < 0


def test_a_seed_draws_the_same_text(model: Any) -> None:
    first, again, other = (
        model.transcribe(waveform(1), language="en", temperature=4.0, seed=seed).text for seed in (5, 5, 6)
    )
    assert first == again != other


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"temperature": ()}, "temperature: a number from 0 on is wanted, or a list of them"),
        ({"temperature": (0.0, -1.0)}, "temperature: a number from 0 on is wanted"),
        ({"temperature": float("nan")}, "temperature: a number from 0 on is wanted"),
        ({"temperature": (0.0, 0.5)}, "temperature: of several the next is taken where compression_ratio_threshold or"),
    ],
)
def test_temperatures_that_are_none_are_refused(model: Any, asked: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        model.transcribe(waveform(1), **asked)


def test_what_ends_a_clip_is_scored_and_is_none_of_its_tokens(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before, _ = attempt(model, waveform(1), 0.0)
    end = next(token for token in before if token != before[0])
    monkeypatch.setattr(model, "end_ids", frozenset({end}))
    tokens, _ = attempt(model, waveform(1), 0.0)
    assert tokens == before[: before.index(end) + 1]
    asked = Asked.of(model, task="transcribe", timestamps=False)
    (found,) = Attempts(asked, [asked.prompt(waveform(1), "en", "")], Fallback(), 1, None).answers()
    assert found == tokens[:-1]
