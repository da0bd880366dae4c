"""Ops that go on from a state, against their definitions written out row by row, however the rows are cut."""

# T rows, B sequences, C channels, H heads

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from triptych.errors import KernelError
from triptych.kernels.attention import Spans
from triptych.kernels.causal_conv import causal_conv
from triptych.kernels.delta_rule import delta_rule
from triptych.kernels.selective_scan import selective_scan
from triptych.kernels.ssd import ssd

LENGTHS = (1, 1, 70, 3, 3, 0, 129)
T, B = sum(LENGTHS), len(LENGTHS)
Given = tuple[list[Tensor], Tensor]
Op = Callable[..., tuple[Tensor, Tensor]]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape)), dtype=torch.float64)


def scan(x: Tensor, dt: Tensor, B_: Tensor, C: Tensor, *, state: Tensor, spans: Spans) -> tuple[Tensor, Tensor]:
    return selective_scan(x, dt, RATES, B_, C, state_BCN=state, spans=spans)


def scan_row(h: Tensor, x: Tensor, dt: Tensor, B_: Tensor, C: Tensor) -> tuple[Tensor, Tensor]:
    h = (dt[:, None] * RATES).exp() * h + (dt * x)[:, None] * B_
    return h @ C, h


def conv(x: Tensor, *, state: Tensor, spans: Spans) -> tuple[Tensor, Tensor]:
    return causal_conv(x, TAPS, TAPS[:, 0] + 1, past_BCN=state, spans=spans)


def conv_row(h: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    seen = torch.cat((h, x[:, None]), 1)
    return (seen * TAPS).sum(1) + TAPS[:, 0] + 1, seen[:, 1:]


def ssd_row(h: Tensor, q: Tensor, k: Tensor, v: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    q, k = (each.repeat_interleave(2, 0) for each in (q, k))
    h = a.exp()[:, None, None] * h + v[:, :, None] * k[:, None]
    return (h * q[:, None]).sum(-1), h


def heads(*rows: Tensor, state: Tensor, spans: Spans) -> tuple[Tensor, Tensor]:
    return ssd(*rows, state_BHPN=state, spans=spans)


def delta(*rows: Tensor, state: Tensor, spans: Spans) -> tuple[Tensor, Tensor]:
    return delta_rule(*rows, state_BHKV=state, spans=spans)


def delta_row(h: Tensor, *row: Tensor) -> tuple[Tensor, Tensor]:
    q, k, v, a, beta = row
    h = a.exp()[..., None] * h
    h = h + k[..., None] * (beta[:, None] * (v - (h * k[..., None]).sum(1)))[:, None]
    return (h * q[..., None]).sum(1), h


RATES, TAPS = -draw(5, 6).exp(), draw(5, 4, seed=1)
SCAN = [draw(T, 5), draw(T, 5, seed=1).abs(), draw(T, 6), draw(T, 6, seed=1)]
HEADS = [draw(T, 2, 6), draw(T, 2, 6, seed=1), draw(T, 4, 3), -5 * draw(T, 4).abs()]
KEYS = torch.nn.functional.normalize(draw(T, 4, 6, seed=1), dim=-1)
DELTA = [draw(T, 4, 6), KEYS, draw(T, 4, 3), -draw(T, 4, 1).abs(), draw(T, 4).sigmoid()]
BY_KEY = [*DELTA[:3], -3 * draw(T, 4, 6, seed=2).abs(), DELTA[4]]
OPS: dict[str, tuple[Op, Op, Sequence[Tensor], tuple[int, ...]]] = {
    "causal_conv": (conv, conv_row, [draw(T, 5)], (5, 3)),
    "selective_scan": (scan, scan_row, SCAN, (5, 6)),
    "ssd": (heads, ssd_row, HEADS, (4, 3, 6)),
    "delta_rule": (delta, delta_row, DELTA, (4, 6, 3)),
    "delta_rule by key": (delta, delta_row, BY_KEY, (4, 6, 3)),
}


def row_by_row(name: str, state: Tensor) -> tuple[Tensor, Tensor]:
    _, one, rows, _ = OPS[name]
    found, states = [], []
    for number, parts in enumerate(zip(*(each.split(LENGTHS) for each in rows), strict=True)):
        h = state[number]
        for row in zip(*parts, strict=True):
            y, h = one(h, *row)
            found.append(y)
        states.append(h)
    return torch.stack(found), torch.stack(states)


@pytest.mark.parametrize("name", OPS)
def test_packed_rows_equal_the_definition_row_by_row(name: str) -> None:
    op, _, rows, shape = OPS[name]
    state = draw(B, *shape)
    kept = state.clone()
    for found, wanted in zip(op(*rows, state=state, spans=Spans.of(LENGTHS)), row_by_row(name, state), strict=True):
        torch.testing.assert_close(found, wanted)
    assert state.equal(kept)


@pytest.mark.parametrize("name", OPS)
def test_a_step_of_one_row_each_equals_the_definition(name: str) -> None:
    op, one, rows, shape = OPS[name]
    state = draw(T, *shape)
    wanted = [one(state[n], *(each[n] for each in rows)) for n in range(T)]
    found = op(*rows, state=state, spans=Spans.of([1] * T))
    for number in range(2):
        torch.testing.assert_close(found[number], torch.stack([each[number] for each in wanted]))


@pytest.mark.parametrize("name", OPS)
def test_sums_are_in_the_dtype_of_the_state_and_rows_in_theirs(name: str) -> None:
    op, _, rows, shape = OPS[name]
    if name == "causal_conv":
        pytest.skip("its state is rows")
    narrow = [each.bfloat16() for each in rows]
    y, state = op(*narrow, state=torch.zeros(B, *shape), spans=Spans.of(LENGTHS))
    wanted, _ = op(*(each.float() for each in narrow), state=torch.zeros(B, *shape), spans=Spans.of(LENGTHS))
    assert (y.dtype, state.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(y.float(), wanted, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("name", OPS)
def test_shapes_that_do_not_fit_are_refused(name: str) -> None:
    op, _, rows, shape = OPS[name]
    with pytest.raises(KernelError, match=name.partition(" ")[0]):
        op(*rows, state=draw(B + 1, *shape), spans=Spans.of(LENGTHS))
    with pytest.raises(KernelError, match=name.partition(" ")[0]):
        op(*rows, state=draw(B, *shape), spans=Spans.of((*LENGTHS[:-1], 1)))


def test_a_decay_to_nothing_leaves_no_trace_and_no_nan() -> None:
    q, k, v, a = (each.float() for each in HEADS)
    a = a.masked_fill(torch.arange(T)[:, None] % 7 == 0, -1e4)
    found: Any = ssd(q, k, v, a, state_BHPN=torch.zeros(B, 4, 3, 6), spans=Spans.of(LENGTHS))[0]
    wide = [each.double() for each in (q, k, v, a)]
    exact = ssd(*wide, state_BHPN=0 * draw(B, 4, 3, 6), spans=Spans.of(LENGTHS))[0]
    assert found.isfinite().all()
    torch.testing.assert_close(found[75:], exact[75:].float(), rtol=1e-4, atol=1e-4)
