"""Requests of an encoder-decoder model: each hears its own sound, whatever runs beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import triptych
from tests.parity.hearing import frames, greedy, waveform, whisper
from tests.parity.oracle import Oracle
from triptych.errors import CheckpointError, InputError
from triptych.inputs.prompt import Prompt
from triptych.runner.engine import Engine
from triptych.runner.generate import generate
from triptych.runner.options import SamplingOptions
from triptych.runner.request import Request, RunOptions
from triptych.runner.sizes import Sizes
from triptych.runner.transcript import Marks, Transcript

COUNT = 12
LENGTHS = (3, 9, 1, 24, 5, 17, 2)
RUN = RunOptions(device=torch.device("cpu"), dtype=torch.float32)
OPTIONS = SamplingOptions(max_tokens=COUNT, ignore_eos=True)


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    return whisper(tmp_path_factory.mktemp("whisper"))


@pytest.fixture(scope="module")
def model(oracle: Oracle) -> Any:
    return triptych.load(oracle.folder, dtype=torch.float32)


@pytest.fixture(scope="module")
def requests(oracle: Oracle, model: Any) -> list[Request]:
    return [Request(prompt(oracle, model, n), OPTIONS) for n in range(len(LENGTHS))]


@pytest.fixture(scope="module")
def wanted(oracle: Oracle, requests: Sequence[Request]) -> list[list[int]]:
    return [
        greedy(oracle, [*request.prompt.token_ids], frames(oracle, waveform(n, seconds=0.3 + 0.2 * n)), COUNT)
        for n, request in enumerate(requests)
    ]


def prompt(oracle: Oracle, model: Any, number: int) -> Prompt:
    found: Prompt = model._reader.read_items(
        oracle.random_ids(LENGTHS[number], seed=number), {"audio": waveform(number, seconds=0.3 + 0.2 * number)}
    )
    return found


def answers(model: Any, requests: Sequence[Request], run: RunOptions = RUN) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in requests]
    for event in generate(model.runs, requests, run=run):
        found[event.request].append(event.token_id)
    return found


def test_a_prompt_begins_with_the_decoders_start_and_goes_with_the_rows_of_its_sound(
    oracle: Oracle, requests: Sequence[Request]
) -> None:
    found = requests[0].prompt
    assert found.token_ids == (219, *oracle.random_ids(3, seed=0))
    assert found.features == ()
    (source,) = found.sources
    assert (source.modality, source.mm_position.length) == ("audio", 100)
    assert source.data is not None
    torch.testing.assert_close(source.data["audio"].data, frames(oracle, waveform(0, seconds=0.3))[0])
    assert requests[1].prompt.sources[0].identifier != source.identifier


def test_a_batch_is_answered_as_the_reference_does(
    model: Any, requests: Sequence[Request], wanted: list[list[int]]
) -> None:
    assert answers(model, requests) == wanted


def test_each_request_alone_is_answered_as_in_the_batch(
    model: Any, requests: Sequence[Request], wanted: list[list[int]]
) -> None:
    assert [answers(model, [request])[0] for request in requests] == wanted


@pytest.mark.parametrize("tokens", [1, 5, 16])
def test_prompts_read_in_chunks_are_answered_alike(
    model: Any, requests: Sequence[Request], wanted: list[list[int]], tokens: int
) -> None:
    run = RunOptions(
        device=RUN.device, dtype=RUN.dtype, max_batch=3, max_num_batched_tokens=tokens, overlap=tokens == 5
    )
    assert answers(model, requests, run) == wanted


def test_who_makes_way_hears_its_sound_again(
    model: Any, requests: Sequence[Request], wanted: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = model.runs.cache_needs()
    states = sum(need.size for need in needs.values() if hasattr(need, "source"))
    rows = sum(need.width for need in needs.values() if not hasattr(need, "source"))
    run = RunOptions(device=RUN.device, dtype=RUN.dtype, cache_bytes=4 * (3 * states + rows * 64))
    engine = Engine(model.runs, sizes=Sizes.of([(25, COUNT)] * 3, needs, run), run=run)
    stopped = []
    stop = engine._state.scheduler._stop_youngest
    monkeypatch.setattr(
        engine._state.scheduler, "_stop_youngest", lambda plan: stopped.append(found := stop(plan)) or found
    )
    chosen = [3, 5, 1]
    numbers = [engine.add(requests[n]) for n in chosen]
    found: dict[int, list[int]] = {number: [] for number in numbers}
    while engine.busy:
        for event in engine.step():
            found[event.request].append(event.token_id)
    assert stopped
    assert [*found.values()] == [wanted[n] for n in chosen]


def test_a_place_that_a_cancelled_request_leaves_is_taken_by_another_sound(
    model: Any, requests: Sequence[Request], wanted: list[list[int]]
) -> None:
    run = RunOptions(device=RUN.device, dtype=RUN.dtype, max_batch=1)
    engine = Engine(model.runs, sizes=Sizes.of([(25, COUNT)], model.runs.cache_needs(), run), run=run)
    first = engine.add(requests[3])
    for _ in range(3):
        engine.step()
    engine.cancel(first)
    engine.add(requests[6])
    found = []
    while engine.busy:
        found += [event.token_id for event in engine.step()]
    assert found == wanted[6]


def test_logprobs_of_a_prompt_are_those_after_its_sound(
    oracle: Oracle, model: Any, requests: Sequence[Request]
) -> None:
    options = SamplingOptions(max_tokens=1, prompt_logprobs=0)
    (event,) = generate(model.runs, [Request(requests[1].prompt, options)], run=RUN)
    ids = requests[1].prompt.token_ids
    logits = oracle.model(
        input_features=frames(oracle, waveform(1, seconds=0.5)), decoder_input_ids=torch.tensor([ids])
    ).logits[0]
    wanted = logits.log_softmax(-1)[torch.arange(len(ids) - 1), torch.tensor(ids[1:])]
    assert event.prompt_logprobs is not None
    found = torch.tensor([each.logprob for each in event.prompt_logprobs if each is not None])
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_a_prompt_without_a_sound_is_refused_before_anything_runs(model: Any) -> None:
    for ask in (lambda: model.generate([[1, 2]]), lambda: model.logits([1, 2])):
        with pytest.raises(InputError, match="audio: a prompt of this model goes with audio, and none is given"):
            ask()


def test_two_sounds_are_more_than_a_prompt_goes_with(model: Any) -> None:
    with pytest.raises(InputError, match="2"):
        model._reader.read_items([1], {"audio": [waveform(0), waveform(1)]})


def test_a_folder_without_a_feature_extractor_is_told(tmp_path: Path) -> None:
    oracle = whisper(tmp_path)
    for file in tmp_path.glob("*processor_config.json"):
        file.unlink()
    model = triptych.load(oracle.folder)
    with pytest.raises(CheckpointError, match="has no feature extractor that can be used"):
        model._reader.read_items([1], {"audio": waveform(0)})


def test_a_model_of_random_weights_says_what_it_lacks() -> None:
    model = triptych.random_init("whisper")
    with pytest.raises(InputError, match="sound needs the feature extractor of a checkpoint folder"):
        model._reader.read_items([1], {"audio": waveform(0)})


def test_the_memory_of_a_step_is_imagined_with_its_sound(model: Any) -> None:
    from triptych.runner.profile import forward_bytes

    assert forward_bytes(model.runs, RUN, [8, 8]) > 0
    assert forward_bytes(model.runs, RUN, [4], past=4) > 0


def test_sounds_of_requests_that_begin_together_are_encoded_in_one_call(
    model: Any, requests: Sequence[Request], wanted: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, counts = model.module.embed_multimodal, list[int]()
    monkeypatch.setattr(
        model.module, "embed_multimodal", lambda **given: counts.append(len(given["audio"])) or encode(**given)
    )
    twice = [*requests[:3], requests[0]]
    assert answers(model, twice) == [*wanted[:3], wanted[0]]
    assert counts == [3]


@pytest.mark.parametrize("marks", [None, Marks(227, 226)])
def test_a_form_is_followed_alike_where_steps_overlap(
    model: Any, requests: Sequence[Request], marks: Marks | None
) -> None:
    form = Transcript(model.module.vocab_size, never=(29, *range(218, 227)), not_first=(80,), marks=marks)
    asked = [Request(request.prompt, OPTIONS, form) for request in requests[:3]]
    runs = [RunOptions(device=RUN.device, dtype=RUN.dtype, overlap=overlap) for overlap in (False, True)]
    one, other = (answers(model, asked, run) for run in runs)
    assert one == other != answers(model, requests[:3])
    assert not {*range(218, 227)} & {token for tokens in one for token in tokens}
