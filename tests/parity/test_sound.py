"""Models that hear equal their references: towers, projectors and prompts, on weights that hide nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

import triptych
from tests.parity.hearing import waveform
from tests.parity.oracle import MATTERS, TOLERANCE, rms_ratio
from tests.parity.sounding import GIVEN, Asked, Pair, all_cases, read
from tests.reference.ultravox import Ultravox
from triptych.errors import CapabilityError, InputError, SpecError
from triptych.runner.generate import generate
from triptych.runner.options import SamplingOptions
from triptych.runner.reading import read_prompts, step_of
from triptych.runner.request import Request, RunOptions
from triptych.spec.item_facts import AudioFacts

TOKENS = 12
CONTEXT = 175
CASES = {case.name: case for case in all_cases()}
PLAIN = {case.family: case for case in reversed(CASES.values())}


@pytest.fixture(scope="module", params=list(CASES.values()), ids=str)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("checkpoint")
    yield Pair.of(request.param, folder)
    shutil.rmtree(folder)


def logits_of(model: Any, asked: Asked) -> Tensor:
    (found,) = logits(model, [read(model, asked)])
    return found


@torch.inference_mode()
def logits(model: Any, prompts: Sequence[Any]) -> list[Tensor]:
    """Logits [T, V] of each prompt, all of them read in one call."""
    run = RunOptions(device=torch.device("cpu"), dtype=torch.float32)
    hidden = read_prompts(model.module, prompts, step_of(prompts, device=run.device), run=run)
    return list(model.module.compute_logits(hidden).split([len(prompt.token_ids) for prompt in prompts]))


def test_every_tensor_matters_to_the_reference(pair: Pair) -> None:
    asked = pair.ask(sounds=2)
    assert [*pair.oracle.inert_tensors(asked.ids, below=MATTERS, **asked.media)] == []


@pytest.mark.parametrize("sounds", [2, 1, 4, 0])
def test_logits_are_those_of_the_reference(pair: Pair, sounds: int) -> None:
    asked = pair.ask(sounds=sounds)
    assert rms_ratio(logits_of(pair.model, asked), pair.wanted(asked)) <= TOLERANCE


def test_rows_of_sounds_are_those_that_the_references_projector_gives(pair: Pair) -> None:
    asked, given = pair.ask(sounds=4), list[Tensor]()
    projector = next(m for name, m in pair.oracle.model.named_modules() if name.endswith("multi_modal_projector"))
    hook = projector.register_forward_hook(lambda _, __, found: given.append(found))
    pair.wanted(asked)
    hook.remove()
    features = pair.prompt(asked).features
    items = {key: [each.data[key].data for each in features] for key in features[0].data}
    with torch.inference_mode():
        ours = pair.model.module.embed_multimodal(**items)
    if given[0].ndim == 3:  # of all sounds, each with as many rows as half a minute has
        given = [rows[: len(own)] for rows, own in zip(given[0], ours, strict=True)]
    assert rms_ratio(torch.cat(ours), torch.cat(given)) <= TOLERANCE


def test_sounds_in_the_other_order_are_another_prompt(pair: Pair) -> None:
    text = f"{pair.case.means.token} w40 {pair.case.means.token} w50"
    asked, other = (pair.asked(text, [waveform(a), waveform(b)]) for a, b in ((1, 2), (2, 1)))
    assert rms_ratio(logits_of(pair.model, other), pair.wanted(asked)) > MATTERS


def test_a_text_becomes_the_prompt_that_the_references_processor_makes_of_it(pair: Pair) -> None:
    for sounds in (2, 4, 1, 0):
        asked = pair.ask(sounds=sounds, seed=sounds)
        assert pair.prompt(asked).token_ids == asked.ids


def test_greedy_tokens_are_those_of_the_reference_however_prompts_are_cut(pair: Pair) -> None:
    asked, wanted = clear_choices(pair)
    request = Request(pair.prompt(asked), SamplingOptions(max_tokens=TOKENS, ignore_eos=True))
    for tokens in (7, 8192):
        run = RunOptions(device=torch.device("cpu"), dtype=torch.float32, max_num_batched_tokens=tokens)
        found: list[list[int]] = [[], [], []]
        for event in generate(pair.model.runs, [request] * 3, run=run):
            found[event.request].append(event.token_id)
        assert found == [wanted] * 3


def test_a_packed_batch_with_other_numbers_of_sounds_equals_each_prompt_alone(pair: Pair) -> None:
    batch = [pair.ask(sounds=n, seed=n, words=w) for n, w in ((2, 9), (0, 17), (1, 2), (3, 5))]
    for asked, found in zip(batch, logits(pair.model, [pair.prompt(asked) for asked in batch]), strict=True):
        assert rms_ratio(found, pair.wanted(asked)) <= TOLERANCE, len(asked.sounds)


@pytest.mark.parametrize("samples", [480, 481, 640, 799, 16_000, 31_840, 31_999, 32_000])
def test_the_count_of_tokens_is_that_of_the_towers_rows_and_of_the_processor(pair: Pair, samples: int) -> None:
    asked = pair.asked(pair.case.means.token, [waveform(samples, seconds=2.0)[:samples]])
    (feature,) = pair.prompt(asked).features
    with torch.inference_mode():
        (rows,) = pair.model.module.embed_multimodal(**{key: [each.data] for key, each in feature.data.items()})
    count = pair.rule.count(AudioFacts(samples), pair.model.processor.info.ctx.processor_config("audio"))
    assert count == len(rows) == asked.ids.count(pair.rule.placeholder)


@pytest.mark.parametrize("case", [case for family, case in PLAIN.items() if family != "Ultravox"], ids=str)
def test_every_layout_of_names_loads(case: Any, tmp_path: Path) -> None:
    pair = Pair.of(case, tmp_path)
    asked, file = pair.ask(sounds=1), tmp_path / "model.safetensors"
    nested = {"language_model.lm_head.": "lm_head.", "language_model.model.": "model.language_model."}
    save_file({_renamed(name, nested): tensor for name, tensor in load_file(file).items()}, file)
    model = triptych.load(tmp_path, dtype=torch.float32)
    assert rms_ratio(logits_of(model, asked), pair.wanted(asked)) <= TOLERANCE


def _renamed(name: str, nested: Mapping[str, str]) -> str:
    """As transformers holds them in memory."""
    found = next((to + name.removeprefix(at) for at, to in nested.items() if name.startswith(at)), None)
    return f"model.{name}" if found is None else found


@pytest.mark.parametrize(("name", "mistake"), GIVEN["mistakes"])
def test_a_mistake_of_one_line_shows_in_the_logits(name: str, mistake: str, tmp_path: Path) -> None:
    pair = Pair.of(CASES[name], tmp_path)
    asked = pair.ask(sounds=2)
    idle = [f"{at}inert=['*']" for at in ("", "towers.audio.", "language_model.")]
    model = triptych.load(tmp_path, dtype=torch.float32, overrides=[*idle, mistake])
    assert rms_ratio(logits_of(model, asked), pair.wanted(asked)) > 10 * TOLERANCE


def clear_choices(pair: Pair) -> tuple[Asked, list[int]]:
    """A prompt with two sounds and its greedy continuation, in which no choice is a near tie that rounding decides."""
    for seed in range(20):
        asked = pair.ask(sounds=2, seed=1000 + seed)
        tokens: list[int] = []
        margins = []
        while len(tokens) < TOKENS and pair.rule.placeholder not in tokens:
            last = pair.oracle.logits([*asked.ids, *tokens], **asked.media)[-1]
            best = last.topk(2)
            margins.append(float((best.values[0] - best.values[1]) / last.std()))
            tokens.append(int(best.indices[0]))
        if len(tokens) == TOKENS and pair.rule.placeholder not in tokens and min(margins) > MATTERS:
            return asked, tokens
    raise AssertionError(f"{pair.case}: the logits are too flat for greedy tokens to mean anything")


@pytest.fixture(scope="module")
def voxtral(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Of which a transcript has few tokens, none of which stands for a sound."""
    case, folder = CASES["voxtral"], tmp_path_factory.mktemp("voxtral")
    text = case.config["text_config"] | {"max_position_embeddings": CONTEXT}
    pair = Pair.of(replace(case, config=case.config | {"text_config": text}), folder)
    with torch.no_grad():
        pair.oracle.model.lm_head.weight[pair.rule.placeholder] = 0
    pair.oracle.model.save_pretrained(folder)
    return pair


@pytest.mark.parametrize("language", [None, "de"])
def test_voxtral_is_asked_for_a_transcript_of_a_whole_sound(voxtral: Pair, language: str | None) -> None:
    sound, spoken = waveform(3, seconds=4.1), f"lang:{language}" if language else ""
    asked = voxtral.asked(f"<s>[INST][BEGIN_AUDIO][AUDIO][/INST]{spoken}[TRANSCRIBE]", [sound])
    assert asked.ids[:3] == (203, 204, 202)
    assert asked.ids[-2:] == ((207, 206) if language else (205, 206))
    tokens: list[int] = []
    while not tokens or (tokens[-1] != 2 and len(tokens) < CONTEXT + 1 - len(asked.ids)):
        tokens.append(int(voxtral.oracle.logits([*asked.ids, *tokens], **asked.media)[-1].argmax()))
    found = voxtral.model.transcribe(sound, language=language)
    wanted = voxtral.model.tokenizer.decode([token for token in tokens if token != 2]).strip()
    assert (found.text, found.language, found.duration) == (wanted, language, 4.1)


def test_voxtral_neither_translates_nor_takes_what_was_said_before(voxtral: Pair) -> None:
    with pytest.raises(InputError, match="task: this model is asked in words for a translation"):
        voxtral.model.transcribe(waveform(1), task="translate")
    with pytest.raises(InputError, match="prompt: this model takes nothing that was said before"):
        voxtral.model.transcribe(waveform(1), prompt="w40")
    with pytest.raises(CapabilityError, match="does not tell when something is said"):
        voxtral.model.transcribe(waveform(1), timestamps=True)


@pytest.mark.parametrize("name", ["voxtral", "ultravox"])
def test_a_sound_of_more_clips_than_are_heard_is_refused_before_it_is_read(name: str, tmp_path: Path) -> None:
    pair = Pair.of(CASES[name], tmp_path)
    model = triptych.load(tmp_path, overrides=["towers.audio.with.items.size.clips=2"])
    asked = Asked(pair.case.means.token, (waveform(1, seconds=4.01),), (), {})
    with pytest.raises(InputError, match=r"audio\[0\]: an item of 64160 samples; this model hears 64000 at the most"):
        read(model, asked)


def test_an_ultravox_of_another_projector_is_refused_with_what_to_do(tmp_path: Path) -> None:
    pair = Pair.of(CASES["ultravox"], tmp_path)
    for change, message in (
        ({"projector_act": "gelu"}, "this config has `projector_act: 'gelu'`; ultravox serves 'swiglu' only"),
        ({"audio_latency_block_size": 100}, "this config has `audio_latency_block_size: 100`, which ultravox.yaml"),
        ({"num_projector_layers": 2}, "this config has `num_projector_layers: 2`, which ultravox.yaml"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(pair.oracle.config | change), encoding="utf-8")
        with pytest.raises(SpecError, match=message):
            triptych.load(tmp_path)


@pytest.mark.parametrize("architecture", GIVEN["released"])
def test_a_released_config_makes_the_model_that_the_class_makes_of_it(architecture: str) -> None:
    config = GIVEN["released"][architecture]
    ours = triptych.assemble(None, config).module
    with torch.device("meta"):
        if architecture == "UltravoxModel":
            theirs: Any = Ultravox(json.loads(json.dumps(config)), placeholder=0)
        else:
            kind = getattr(transformers, architecture)
            theirs = kind(kind.config_class(**json.loads(json.dumps(config))))
    noughts = 2 * 1280  # of two layers, whose keys have no bias there
    assert sum(p.numel() for p in ours.parameters()) - noughts == sum(p.numel() for p in theirs.parameters())


@pytest.mark.parametrize(
    ("name", "samples", "count"),
    [
        *(("Qwen2AudioForConditionalGeneration", *each) for each in ((16_000, 25), (480_000, 750), (600_000, 750))),
        *(("VoxtralForConditionalGeneration", *each) for each in ((16_000, 375), (480_000, 375), (480_001, 750))),
        *(("UltravoxModel", *each) for each in ((16_000, 7), (480_000, 188), (496_000, 195), (960_000, 376))),
    ],
)
def test_tokens_of_a_sound_are_as_many_as_the_makers_say(name: str, samples: int, count: int) -> None:
    rule = triptych.assemble(None, GIVEN["released"][name]).tokens["audio"]
    assert rule.count(AudioFacts(samples), {"hop_length": 160}) == count
