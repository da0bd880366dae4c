"""Whisper equals its reference: encoder rows, logits whole and out of a cache, on weights that hide nothing."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor

import triptych
from tests.parity.oracle import MATTERS, TOLERANCE, Oracle, build_oracle, rms_ratio, tiny_config
from triptych.assembly import assemble
from triptych.parts.cache import Cache
from triptych.parts.cache_layout import Layout
from triptych.parts.sources import Source
from triptych.parts.step import Step

GIVEN: dict[str, Any] = yaml.safe_load((Path(__file__).resolve().parent / "whisper.yaml").read_text("utf-8"))
LENGTHS = (23, 5, 1, 11)


@dataclass(frozen=True)
class Pair:
    """A reference model and ours, loaded from the checkpoint that it saved."""

    name: str
    oracle: Oracle

    @cached_property
    def model(self) -> Any:
        return load(self.oracle.folder)

    @property
    def prompts(self) -> list[list[int]]:
        return [self.oracle.random_ids(length, seed=length) for length in LENGTHS]

    @property
    def sounds(self) -> list[Tensor]:
        return [sound(self.oracle, seed=number) for number in range(len(LENGTHS))]


def load(folder: Path, *overrides: str) -> Any:
    return triptych.load(folder, dtype=torch.float32, overrides=overrides)


def build(name: str, folder: Path) -> Oracle:
    tiny = tiny_config("WhisperForConditionalGeneration")
    assert tiny is not None
    return build_oracle(tiny | GIVEN["cases"][name], folder, seed=zlib.crc32(name.encode()))


def sound(oracle: Oracle, *, seed: int) -> Tensor:
    """A spectrogram as the reference's processor would give it."""
    config = oracle.model.config
    shape = (config.num_mel_bins, 2 * config.max_source_positions)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def media(frames: Tensor, ids: Sequence[int]) -> dict[str, Tensor]:
    return {"input_features": frames[None], "decoder_input_ids": torch.tensor([list(ids)])}


@torch.inference_mode()
def wanted_logits(oracle: Oracle, ids: Sequence[int], frames: Tensor) -> Tensor:
    logits: Tensor = oracle.model(**media(frames, ids), use_cache=False).logits[0]
    return logits


@torch.inference_mode()
def rows_of(model: Any, frames: Sequence[Tensor]) -> list[Tensor]:
    rows: list[Tensor] = model.module.embed_multimodal(audio=frames)
    return rows


@torch.inference_mode()
def found_logits(model: Any, prompts: Sequence[Sequence[int]], sounds: Sequence[Tensor]) -> list[Tensor]:
    """Of prompts packed in one step, without a cache."""
    lengths = [len(ids) for ids in prompts]
    step = Step.of(lengths, sources={"audio": Source.of(rows_of(model, sounds))})
    return list(forward(model, prompts, step).split(lengths))


@torch.inference_mode()
def forward(model: Any, pieces: Sequence[Sequence[int]], step: Step) -> Tensor:
    ids = torch.tensor([*chain(*pieces)])
    logits: Tensor = model.module.compute_logits(model.module(ids, step.positions, step=step))
    return logits


@pytest.fixture(scope="module", params=GIVEN["cases"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("checkpoint")
    yield Pair(request.param, build(request.param, folder))
    shutil.rmtree(folder)


def test_every_tensor_matters_to_the_reference(pair: Pair) -> None:
    ids, frames = pair.prompts[0], pair.sounds[0]
    wanted, idle, seen = wanted_logits(pair.oracle, ids, frames), set[str](), set[int]()
    for name, tensor in pair.oracle.model.state_dict().items():
        if tensor.data_ptr() in seen:
            continue
        seen.add(tensor.data_ptr())
        kept = tensor.clone()
        tensor.zero_()
        if rms_ratio(wanted_logits(pair.oracle, ids, frames), wanted) < MATTERS:
            idle.add(name)
        tensor.copy_(kept)
    assert idle == set()


def test_rows_of_the_encoder_are_those_of_the_reference(pair: Pair) -> None:
    with torch.inference_mode():
        wanted = pair.oracle.model.get_encoder()(torch.stack(pair.sounds)).last_hidden_state
    for found, theirs in zip(rows_of(pair.model, pair.sounds), wanted, strict=True):
        assert rms_ratio(found, theirs) <= TOLERANCE


def test_logits_are_those_of_the_reference(pair: Pair) -> None:
    for ids, frames in zip(pair.prompts, pair.sounds, strict=True):
        (found,) = found_logits(pair.model, [ids], [frames])
        assert rms_ratio(found, wanted_logits(pair.oracle, ids, frames)) <= TOLERANCE, len(ids)


def test_another_sound_is_another_prompt(pair: Pair) -> None:
    (found,) = found_logits(pair.model, pair.prompts[:1], pair.sounds[1:2])
    assert rms_ratio(found, wanted_logits(pair.oracle, pair.prompts[0], pair.sounds[0])) > MATTERS


def test_a_packed_batch_equals_each_prompt_alone(pair: Pair) -> None:
    together = found_logits(pair.model, pair.prompts, pair.sounds)
    for ids, frames, found in zip(pair.prompts, pair.sounds, together, strict=True):
        assert rms_ratio(found, found_logits(pair.model, [ids], [frames])[0]) <= TOLERANCE, len(ids)


def test_a_cache_filled_in_pieces_equals_one_prefill(pair: Pair) -> None:
    """The sound comes with the first piece, and the cache has it from then on."""
    module, rows = pair.model.module, rows_of(pair.model, pair.sounds)
    layout = Layout.whole(module.cache_needs(), pages=len(LENGTHS), page=max(LENGTHS))
    cache = Cache(layout, dtype=torch.float32)
    pieces = [[ids[:3], ids[3:4], ids[4:]] for ids in pair.prompts]
    found: list[list[Tensor]] = [[] for _ in pieces]
    for turn in range(3):
        pages = [page for page, p in enumerate(pieces) if p[turn]]
        lengths = [len(pieces[page][turn]) for page in pages]
        step = cache.step(lengths, pages=pages)
        seen = tuple(len(rows[page]) for page in pages)
        step.sources["audio"] = Source.of([rows[page] for page in pages]) if turn == 0 else Source(seen)
        logits = forward(pair.model, [pieces[page][turn] for page in pages], step)
        for page, piece in zip(pages, logits.split(lengths), strict=True):
            found[page].append(piece)
    for ids, frames, parts in zip(pair.prompts, pair.sounds, found, strict=True):
        assert rms_ratio(torch.cat(parts), found_logits(pair.model, [ids], [frames])[0]) <= TOLERANCE


def test_the_config_chooses_the_spec(pair: Pair) -> None:
    assert assemble(None, pair.oracle.config).name == "whisper"


def renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """As the class without a head writes them, which has no `model.` before its names."""
    return {name.removeprefix("model."): tensor for name, tensor in tensors.items()}


def with_head(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Some writers store the tied head all the same."""
    return {**tensors, "proj_out.weight": tensors["model.decoder.embed_tokens.weight"].clone()}


def with_bias(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Some converters write the noughts that keys have for a bias."""
    keys = [name for name in tensors if name.endswith("k_proj.weight")]
    return {**tensors, **{name.replace(".weight", ".bias"): torch.zeros(len(tensors[name])) for name in keys}}


@pytest.mark.parametrize("change", [renamed, with_head, with_bias])
def test_other_files_of_the_same_weights_give_the_same_model(change: Any, tmp_path: Path) -> None:
    oracle = build("plain", tmp_path)
    file = tmp_path / "model.safetensors"
    save_file(change(load_file(file)), file)
    ids, frames = oracle.random_ids(9, seed=1), sound(oracle, seed=1)
    (found,) = found_logits(load(tmp_path), [ids], [frames])
    assert rms_ratio(found, wanted_logits(oracle, ids, frames)) <= TOLERANCE


@pytest.mark.parametrize(("name", "mistake"), GIVEN["mistakes"])
def test_a_mistake_of_one_line_shows_in_the_logits(name: str, mistake: str, tmp_path: Path) -> None:
    oracle = build(name, tmp_path)
    ids, frames = oracle.random_ids(11, seed=1), sound(oracle, seed=1)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)  # which may have more than a changed model takes
    unneeded = {
        "towers.audio.with.tower.norm=null": "encoder.layer_norm",
        "language_model.norm=null": "decoder.layer_norm",
    }
    if (prefix := unneeded.get(mistake)) is not None:
        tensors = {key: value for key, value in tensors.items() if not key.startswith(f"model.{prefix}.")}
    save_file(tensors, file)
    (found,) = found_logits(load(tmp_path, "inert=['*']", mistake), [ids], [frames])
    assert rms_ratio(found, wanted_logits(oracle, ids, frames)) > 10 * TOLERANCE


@pytest.mark.parametrize("config", GIVEN["released"].values(), ids=GIVEN["released"])
def test_a_released_config_makes_the_model_that_the_class_makes_of_it(config: dict[str, Any]) -> None:
    with torch.device("meta"):
        theirs = transformers.WhisperForConditionalGeneration(transformers.WhisperConfig(**config))
    ours = assemble(None, config).module
    keys = config["encoder_layers"] + 2 * config["decoder_layers"]  # which have noughts for a bias here
    extra = keys * config["d_model"]
    assert sum(p.numel() for p in ours.parameters()) - extra == sum(p.numel() for p in theirs.parameters())


def test_a_silent_config_is_the_model_that_the_class_makes_of_nothing() -> None:
    with torch.device("meta"):
        theirs = transformers.WhisperForConditionalGeneration(transformers.WhisperConfig())
    ours = assemble(None, {"architectures": ["WhisperForConditionalGeneration"]}).module
    assert sum(p.numel() for p in ours.parameters()) - 12 * 384 == sum(p.numel() for p in theirs.parameters())
    assert ours.attn_type == "encoder_decoder"
