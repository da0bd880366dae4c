"""Steps that are recorded and replayed give what steps give that are computed one by one."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import cache

import pytest
import torch
from PIL import Image

import triptych
from tests.runner import test_engine as plain
from tests.runner.recorder import Recorder
from tests.runner.test_engine import FEW, LONGEST, OVERLAP, PROMPTS, STATES, answered, finish, request, tokens
from triptych.errors import OptionError
from triptych.runner import graphs

# beside those of the engine: norms of heads, sinks, places of three axes, rows of another layer, layers gone through
# twice, and a head that a token leaves something for
MORE = ["qwen3", "llama with sinks", "qwen2_vl_text", "gemma3n", "iquest_loopcoder"]
SPECS = [spec for spec in [*plain.SPECS, *MORE] if spec not in STATES]
MANY = {"page": 16, "more": 64}


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """Steps are recorded as on CUDA, from the first one that only writes."""
    made = Recorder()
    monkeypatch.setattr(graphs, "CAPTURES", {"cpu": lambda: made})
    monkeypatch.setattr(graphs, "OFTEN", 0)
    return made


@cache
def one_by_one(spec: str) -> list[list[int]]:
    """The answer to each prompt, of an engine that records nothing."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(graphs, "CAPTURES", {})
        return plain.alone(spec)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize(
    ("shape", "overlap"), [({}, False), (FEW, True), (MANY, True)], ids=["a page each", "few pages", "many pages"]
)
def test_answers_are_those_of_steps_one_by_one(
    spec: str, shape: dict[str, int], overlap: bool, recorder: Recorder
) -> None:
    """Batches shrink as answers end; of few pages some requests make way, and begin again beside others."""
    running = plain.engine(spec, overlap=overlap, **shape)
    assert answered(running) == one_by_one(spec)
    assert recorder.replayed > 20
    assert len(recorder.recorded) == len(running._state._graphs._replays) <= 4


@pytest.mark.parametrize("spec", ["llama", "gemma2 in chunks"])
@pytest.mark.parametrize("shape", [{}, MANY], ids=["copied", "shared"])
def test_rows_that_were_there_are_as_good_as_new(spec: str, shape: dict[str, int], recorder: Recorder) -> None:
    running = plain.engine(spec, **shape)
    for _ in range(2):
        assert [answered(running, [ids])[0] for ids in PROMPTS] == one_by_one(spec)
    assert recorder.replayed > 20


@pytest.mark.parametrize("spec", ["llama", "gemma2"])
@OVERLAP
def test_requests_come_and_go(spec: str, overlap: bool, recorder: Recorder) -> None:
    """One more comes every few steps, the fourth is cancelled; slots and pages of who has ended go to others."""
    running, found, numbers = plain.engine(spec, seqs=3, overlap=overlap, page=16, more=20), [], []
    for number, ids in enumerate([*PROMPTS, *PROMPTS]):
        numbers.append(running.add(request(ids)))
        for _ in range(5):
            found += running.step()
        if number == 3:
            running.cancel(numbers[3])
    known = tokens([*found, *finish(running)])
    wanted = one_by_one(spec) * 2
    assert [known.get(n) for i, n in enumerate(numbers) if i != 3] == wanted[:3] + wanted[4:]
    assert recorder.replayed > 20


def test_a_bucket_is_recorded_when_it_is_met_often(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "OFTEN", 7)
    assert answered(plain.engine("llama"), PROMPTS[:2]) == one_by_one("llama")[:2]
    assert (len(recorder.recorded), recorder.replayed) == (1, 24 - 1 - 7)


def test_more_rows_than_the_largest_graph_has_are_computed_one_by_one(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "BUCKETS", (1, 2, 4))
    assert answered(plain.engine("llama")) == one_by_one("llama")
    assert recorder.replayed == 0
    assert answered(plain.engine("llama"), PROMPTS[:4]) == one_by_one("llama")[:4]
    assert recorder.replayed == 23


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("mamba", "Mamba"),
        ("bamba", "Mamba2"),
        ("deepseek_v2", "Mla"),
        ("bloom", "Attention"),
        ("llama that turns by length", "Attention"),
    ],
)
def test_of_a_mixer_that_does_not_say_that_it_can_nothing_is_recorded(
    spec: str, why: str, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "triptych.runner"):
        found = answered(plain.engine(spec), PROMPTS[:2])
    (told,) = caplog.messages
    assert told.startswith(f"steps are computed one by one, not recorded as graphs: {why} (")
    assert found == one_by_one(spec)[:2]
    assert not recorder.recorded


def test_what_waits_for_the_device_is_computed_one_by_one(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    """Experts in plain torch, whose rows are counted on the host."""
    with caplog.at_level(logging.WARNING, "triptych.runner"):
        assert answered(plain.engine("mixtral")) == one_by_one("mixtral")
    assert [told.rpartition(": ")[2] for told in caplog.messages] == ["tolist waits for the device, which records"]
    assert recorder.replayed == 0


def test_places_after_an_image_are_those_of_steps_one_by_one(recorder: Recorder) -> None:
    """They stand behind their numbers there, on three axes: the next prompt, of text, has its own again."""
    model = triptych.random_init("qwen2_vl", seed=1)
    image = Image.effect_noise((84, 140), 80).convert("RGB")

    def answers(graphs: bool) -> list[Sequence[int]]:
        engine = triptych.Engine(model, max_num_seqs=2, max_model_len=256, graphs=graphs)
        given = [
            engine.submit("What?", images=images, max_tokens=12, ignore_eos=True) for images in (image, None, None)
        ]
        return [each.result().token_ids for each in given]

    assert answers(graphs=True) == answers(graphs=False)
    assert recorder.replayed > 10


def test_a_cpu_records_nothing() -> None:
    model = triptych.random_init("llama")
    assert triptych.Engine(model)._runner._capture is None
    with pytest.raises(OptionError, match="graphs: steps are recorded on cuda, and this is cpu"):
        triptych.Engine(model, graphs=True)


def test_no_graphs_where_none_are_wanted(recorder: Recorder) -> None:
    engine = triptych.Engine(triptych.random_init("llama"), graphs=False)
    engine.submit("a", max_tokens=4).result()
    assert not recorder.recorded


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("spec", ["llama", "gemma2", "qwen3", "mixtral"])
@pytest.mark.parametrize("overlap", [False, True])
def test_cuda_graphs_give_what_steps_give_one_by_one(
    spec: str, overlap: bool, caplog: pytest.LogCaptureFixture
) -> None:
    model = triptych.random_init(spec, seed=1, device="cuda", dtype="float32")

    def answers(graphs: bool) -> tuple[triptych.Engine, list[Sequence[int]]]:
        engine = triptych.Engine(model, max_num_seqs=8, max_model_len=LONGEST, overlap=overlap, graphs=graphs)
        given = [engine.submit(ids, max_tokens=12 + n, ignore_eos=True) for n, ids in enumerate(PROMPTS)]
        return engine, [each.result().token_ids for each in given]

    (recorded, found), (_, wanted) = answers(graphs=True), answers(graphs=False)
    assert found == wanted
    assert recorded._runner._state._graphs is not None
    assert recorded._runner._state._graphs._replays
    assert not caplog.messages
