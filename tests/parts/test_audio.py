"""What audio towers begin with, and attention to what they make of an item."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperAttention, WhisperEncoder

from tests.parts.drawing import filled
from triptych.errors import InputError
from triptych.parts.audio_sizes import AudioFrames
from triptych.parts.cache import Cache
from triptych.parts.cache_layout import Layout
from triptych.parts.cache_needs import Cross
from triptych.parts.cross_attention import CrossAttention
from triptych.parts.cross_attention_spec import CrossAttentionSpec
from triptych.parts.frames import Frames
from triptych.parts.frames_spec import FramesSpec
from triptych.parts.grid import Grid
from triptych.parts.sources import Source
from triptych.parts.step import Step
from triptych.spec.item_facts import AudioFacts

WIDTH, ROWS = 24, 9
HEADS: dict[str, Any] = {"source": "audio", "rows": ROWS, "heads": 4, "kv_heads": 2, "head_dim": 8}


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_frames_equal_what_whispers_layers_begin_with() -> None:
    config = WhisperConfig(
        d_model=8, num_mel_bins=5, max_source_positions=6, encoder_layers=0, encoder_attention_heads=2
    )
    oracle = WhisperEncoder(config).requires_grad_(False)
    oracle.layer_norm = torch.nn.Identity()
    part: Frames = filled(FramesSpec(channels=5, positions=6), width=8)
    for own, of_oracle in ((part.first, oracle.conv1), (part.second, oracle.conv2)):
        of_oracle.weight.copy_(own.weight)
        of_oracle.bias.copy_(own.bias)
    oracle.embed_positions.weight.copy_(part.table.weight)
    items = [drawn(5, 12), drawn(5, 12, seed=1)]
    rows, grids, lengths = part(items)
    assert (grids, lengths) == ([Grid(6, 1, 1)] * 2, [6, 6])
    torch.testing.assert_close(rows, oracle(torch.stack(items)).last_hidden_state.flatten(0, 1))


@given(frames=st.integers(1, 40), strides=st.tuples(st.integers(1, 3), st.integers(1, 3)))
def test_rows_of_frames_are_counted_as_they_come(frames: int, strides: tuple[int, int]) -> None:
    spec = FramesSpec(channels=2, positions=40, strides=strides)
    rows, grids, lengths = filled(spec, width=4)([drawn(2, frames)])
    assert [len(rows)] == lengths == [spec.rows(frames)] == [grids[0].rows]


def test_an_item_among_others_gives_the_same_rows() -> None:
    part = filled(FramesSpec(channels=3, positions=8, activation="relu"), width=6)
    items = [drawn(3, n, seed=n) for n in (16, 3, 1, 10)]
    rows, _, lengths = part(items)
    for item, found in zip(items, rows.split(lengths), strict=True):
        assert torch.equal(found, part([item])[0])


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4, 6), r"audio of shape \[4, 6\]; this tower takes \[3, frames\], one frame at least"),
        ((3, 0), r"audio of shape \[3, 0\]"),
        ((1, 3, 6), r"audio of shape \[1, 3, 6\]"),
        ((3, 17), "audio of 17 frames gives 9 rows; this tower has positions for 8"),
    ],
)
def test_what_is_no_spectrogram_of_the_tower_is_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        filled(FramesSpec(channels=3, positions=8), width=6)([drawn(*shape)])


def test_cross_attention_equals_that_of_whisper() -> None:
    spec = CrossAttentionSpec(**HEADS | {"kv_heads": 4, "head_dim": 6, "bias": True})
    part: CrossAttention = filled(spec, width=WIDTH, key="mix")
    part.kv.bias[:WIDTH] = 0  # whisper's keys have none
    config = WhisperConfig(d_model=WIDTH)
    config._attn_implementation = "eager"
    oracle = WhisperAttention(WIDTH, 4, is_decoder=True, layer_idx=0, config=config).requires_grad_(False)
    k, v = part.kv.weight.chunk(2)
    for own, of_oracle in ((part.q.weight, oracle.q_proj), (k, oracle.k_proj), (v, oracle.v_proj)):
        of_oracle.weight.copy_(own)
    oracle.out_proj.weight.copy_(part.out.weight)
    oracle.q_proj.bias.copy_(part.q.bias)
    oracle.v_proj.bias.copy_(part.kv.bias[WIDTH:])
    oracle.out_proj.bias.copy_(part.out.bias)
    x, beside = drawn(5, WIDTH), drawn(7, WIDTH, seed=1)
    found = part(x, Step.of([5], sources={"audio": Source.of([beside])}))
    torch.testing.assert_close(found, oracle(x[None], beside[None])[0][0], rtol=1e-5, atol=1e-5)


def cases() -> tuple[CrossAttention, list[Tensor], list[Tensor]]:
    part: CrossAttention = filled(CrossAttentionSpec(**HEADS), width=WIDTH, key="mix")
    prompts = [drawn(n, WIDTH, seed=n) for n in (5, 2, 6)]
    return part, prompts, [drawn(n, WIDTH, seed=50 + n) for n in (9, 4, 1)]


def test_each_sequence_sees_its_own_source_alone() -> None:
    part, prompts, beside = cases()
    together = part(torch.cat(prompts), Step.of([5, 2, 6], sources={"audio": Source.of(beside)}))
    for prompt, source, found in zip(prompts, beside, together.split([5, 2, 6]), strict=True):
        alone = part(prompt, Step.of([len(prompt)], sources={"audio": Source.of([source])}))
        torch.testing.assert_close(found, alone)


def test_a_source_is_read_once_and_kept_beside_others_that_come_and_go() -> None:
    part, prompts, beside = cases()
    wanted = [
        part(p, Step.of([len(p)], sources={"audio": Source.of([s])})) for p, s in zip(prompts, beside, strict=True)
    ]
    layout = Layout.whole({part.key: part.cache_need}, pages=3, page=16, slots=4)
    cache = Cache(layout, dtype=torch.float32)
    cache.states[part.key][0].fill_(float("nan"))  # whoever had the slot before

    def step(news: list[int], *, past: list[int], slots: list[int], source: Source) -> Step:
        found = cache.step_in(news, past=past, tables=[[(0,)] * len(news)], slots=slots)
        found.sources["audio"] = source
        return found

    first = part(prompts[0][:3], step([3], past=[0], slots=[2], source=Source.of([beside[0]])))
    later = Source((9, 4), beside[1], (1,))
    second = part(torch.cat([prompts[0][3:4], prompts[1]]), step([1, 2], past=[3, 0], slots=[2, 0], source=later))
    taken_over = Source((9, 1), beside[2], (1,))
    third = part(torch.cat([prompts[0][4:], prompts[2]]), step([1, 6], past=[4, 0], slots=[2, 0], source=taken_over))
    torch.testing.assert_close(torch.cat([first, second[:1], third[:1]]), wanted[0])
    torch.testing.assert_close(second[1:], wanted[1])
    torch.testing.assert_close(third[1:], wanted[2])


def test_a_cache_of_a_source_is_as_large_as_its_most_rows() -> None:
    part, _, _ = cases()
    assert part.cache_need == Cross(((2, ROWS, 8), (2, ROWS, 8)), "audio")
    assert part.cache_need.size == 2 * 2 * ROWS * 8


def test_a_step_without_the_source_is_told() -> None:
    part, prompts, beside = cases()
    message = "audio: a prompt of this model goes with audio, and none is given"
    for sources in ({}, {"image": Source.of(beside[:1])}, {"audio": Source.of(beside)}, {"audio": Source((9,))}):
        with pytest.raises(InputError, match=message):
            part(prompts[0], Step.of([5], sources=sources))


def test_a_source_of_more_rows_than_the_model_looks_at_is_told() -> None:
    part, prompts, _ = cases()
    with pytest.raises(InputError, match="audio: has 10 rows, and the model looks at 9 at the most"):
        part(prompts[0], Step.of([5], sources={"audio": Source.of([drawn(10, WIDTH)])}))


@pytest.mark.parametrize(
    ("model", "fields", "message"),
    [
        (CrossAttentionSpec, HEADS | {"kv_heads": 3}, "4 heads cannot share 3 kv_heads evenly"),
        (CrossAttentionSpec, HEADS | {"source": None}, "source\n.*valid string"),
        (FramesSpec, {"channels": 2, "positions": 0}, "greater than 0"),
        (FramesSpec, {"channels": 2, "positions": 4, "strides": (1,)}, "strides.1\n.*Field required"),
        (FramesSpec, {"channels": 2, "positions": 4, "activation": "zyx"}, "unknown activation 'zyx'"),
        (FramesSpec, {"channels": 2, "positions": 4, "clip": 8, "told": True}, "an item that is told has one clip"),
        (AudioFrames, {"frames": 2, "clips": 2, "silence": "told"}, "silence is told of one clip alone, not of 2"),
    ],
)
def test_wrong_fields_are_named(model: Any, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        model.model_validate(fields)


def test_an_item_in_clips_is_heard_clip_by_clip() -> None:
    part = filled(FramesSpec(channels=3, positions=4, clip=8), width=6)
    item = drawn(3, 19)
    pieces = part.sequences(item)
    assert [piece.shape[1] for piece in pieces] == [8, 8, 3]
    assert torch.equal(torch.cat(list(pieces), 1), item)
    assert filled(FramesSpec(channels=3, positions=4), width=6).sequences(item) == [item]


def test_rows_of_silence_that_is_told_are_not_made_and_its_frames_are_heard() -> None:
    whole, told = (filled(FramesSpec(channels=3, positions=8, told=told), width=6) for told in (False, True))
    items = [drawn(3, 16), drawn(3, 16, seed=1), drawn(3, 7, seed=2)]
    rows, grids, lengths = told(items, [Grid(n, 1, 1) for n in (5, 8, 1)])
    assert (grids, lengths) == ([Grid(n, 1, 1) for n in (5, 8, 1)], [5, 8, 1])
    for item, found in zip(items, rows.split(lengths), strict=True):
        assert torch.equal(found, whole([item])[0][: len(found)])


@pytest.mark.parametrize("grid", [Grid(0, 1, 1), Grid(9, 1, 1)])
def test_other_rows_than_an_item_has_cannot_be_told(grid: Grid) -> None:
    with pytest.raises(InputError, match=r"a grid of \(\d, 1, 1\) for audio of 8 rows; 1 to 8 can be told"):
        filled(FramesSpec(channels=3, positions=8, told=True), width=6)([drawn(3, 16)], [grid])


def test_a_waveform_has_a_row_for_each_frames_of_a_stride() -> None:
    def rows(samples: int, **fields: Any) -> int:
        return AudioFrames(frames=7, stride=2, **fields)(AudioFacts(samples), {"hop_length": 10}).t

    assert [rows(n) for n in (1, 70, 71, 10**6)] == [4, 4, 4, 4]
    assert [rows(n, silence="told") for n in (1, 10, 11, 20, 21, 70, 10**6)] == [1, 1, 1, 1, 2, 4, 4]
    assert [rows(n, clips=3) for n in (1, 70, 71, 141, 210)] == [4, 4, 8, 12, 12]
    assert [rows(n, clips=3, silence="absent") for n in (1, 21, 70, 71, 91, 141, 210)] == [1, 2, 4, 5, 6, 9, 12]
    with pytest.raises(InputError, match="an item of 211 samples; this model hears 210 at the most"):
        rows(211, clips=3)


def test_the_largest_sound_fills_all_clips() -> None:
    assert AudioFrames(frames=7, clips=3).largest("audio", {"hop_length": 10}) == AudioFacts(210)
    assert AudioFrames(frames=7).largest("audio", {}) == AudioFacts(7 * 160)


def test_the_processor_is_told_to_fill_up_what_is_counted() -> None:
    assert AudioFrames(frames=7).keywords == AudioFrames(frames=7, silence="told").keywords == {}
    longest: dict[str, object] = {"truncation": False, "padding": "longest"}
    assert AudioFrames(frames=7, clips=2).keywords == longest | {"pad_to_multiple_of": 1120}
    absent = AudioFrames(frames=7, clips=2, silence="absent")
    assert absent.keywords == longest | {"pad_to_multiple_of": 160}
    assert AudioFrames(frames=7, silence="absent").keywords["truncation"] is True
