"""What is timed of sampling: the likeliest token, one that is drawn from all, and one from the likelier ones."""

# B rows, V vocabulary

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from benchmarks.kernel_rows import Given, Peer, Row, draw
from triptych.kernels.sample import Limits

MANY = 20_000  # draws, whose shares are those of another 20,000 but for noise
NOISE = 0.04


def rows() -> Iterator[Row]:
    """All of them; a peer that draws need not tell the largest logit."""
    sizes, small = {"B": 256, "V": 128256}, {"B": 3, "V": 101}
    warm, some = {"temperature": 0.8}, {"top_k": 50, "top_p": 0.9}
    row = partial(Row, "sample", bytes=256 * 128256 * 4)
    yield row(sizes, small, _given, floor=0.83, peers={"max": lambda logits_BV, **_: logits_BV.max(-1)[::-1]})
    drawn = partial(row, agrees=_draws_the_same, tried={"B": MANY})
    yield drawn({**sizes, **warm}, {**small, **warm}, _given, floor=0.83, peers=_of_all())
    few = {**warm, "top_k": 3, "top_p": 0.9}
    yield drawn({**sizes, **warm, **some}, {**small, **few}, _given, floor=0.40, peers=_of_some())


def _given(
    *, B: int, V: int, temperature: float | None = None, top_k: int | None = None, top_p: float | None = None
) -> Given:
    logits = draw(B, V, dtype=torch.float32) * 3
    limits = None
    if top_k is not None and top_p is not None:
        fill = partial(torch.full, (B,), device=logits.device)
        limits = Limits(fill(top_k, dtype=torch.int64), fill(top_p), fill(0.0))
    return {
        "logits_BV": logits,
        "state_B": torch.arange(B, device=logits.device),
        "temperature_B": None if temperature is None else torch.full((B,), temperature, device=logits.device),
        "limits": limits,
    }


def _of_all() -> Mapping[str, Peer]:
    def multinomial(*, logits_BV: Tensor, temperature_B: Tensor, **_: object) -> Tensor:
        return torch.multinomial(torch.softmax(logits_BV / temperature_B[:, None], -1), 1)[:, 0]

    def exponential(*, logits_BV: Tensor, temperature_B: Tensor, **_: object) -> Tensor:
        """As engines draw that do without a sum: the soonest of so many clocks."""
        shares = torch.softmax(logits_BV / temperature_B[:, None], -1)
        return shares.div_(torch.empty_like(shares).exponential_()).argmax(-1)

    return {"multinomial": multinomial, "exponential": exponential, **_flashinfer_all()}


def _of_some() -> Mapping[str, Peer]:
    def sorted_(*, logits_BV: Tensor, temperature_B: Tensor, limits: Limits, **_: object) -> Tensor:
        logits, places = (logits_BV / temperature_B[:, None]).sort(-1, descending=True)
        number = torch.arange(logits.shape[1], device=logits.device)
        shares = logits.masked_fill(number >= limits.top_k[:, None], -torch.inf).softmax(-1)
        shares = shares.masked_fill(shares.cumsum(-1) - shares >= limits.top_p[:, None], 0.0)
        return places.gather(1, torch.multinomial(shares, 1))[:, 0]

    return {"sort": sorted_, **_flashinfer_some()}


def _flashinfer_all() -> Mapping[str, Peer]:
    try:
        from flashinfer.sampling import sampling_from_logits
    except ImportError:
        return {}

    def drawn(*, logits_BV: Tensor, temperature_B: Tensor, **_: object) -> Tensor:
        found: Tensor = sampling_from_logits(logits_BV / temperature_B[:, None])
        return found

    return {"flashinfer": drawn}


def _flashinfer_some() -> Mapping[str, Peer]:
    try:
        from flashinfer.sampling import top_k_top_p_sampling_from_logits
    except ImportError:
        return {}

    def top_k_top_p(*, logits_BV: Tensor, temperature_B: Tensor, limits: Limits, **_: object) -> Tensor:
        found: Tensor = top_k_top_p_sampling_from_logits(
            logits_BV / temperature_B[:, None], limits.top_k.int(), limits.top_p, filter_apply_order="top_k_first"
        )
        return found

    return {"flashinfer": top_k_top_p}


def _draws_the_same(given: Given, found: Sequence[Tensor], wanted: Sequence[Tensor]) -> bool:
    """Whether each draws the likeliest, the second, and so on as often as the other does."""
    one, other = (_shares(given["logits_BV"], each[0]) for each in (found, wanted))
    return float((one - other).abs().sum()) / 2 < NOISE


def _shares(logits_BV: Tensor, tokens_B: Tensor) -> Tensor:
    """How many of the draws were of the likeliest token of their row, of the second, and so on."""
    likelier_B = (logits_BV > logits_BV.gather(1, tokens_B[:, None].long())).sum(-1)
    return torch.bincount(likelier_B, minlength=logits_BV.shape[1]) / len(tokens_B)
