"""Drawing tokens: the support is exact, the shares are right, streams are apart, wrong options are all named."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from triptych.errors import OptionError, TriptychError
from triptych.runner.sampling import Sampler, SamplingOptions

CPU = torch.device("cpu")
LOGITS = torch.tensor([2.0, -1.0, 3.0, 0.5, 3.5, -float("inf"), 1.0, 2.5])


def draws(logits_V: Tensor, count: int, **options: Any) -> list[int]:
    sampler = Sampler([SamplingOptions.of(seed=7, **options)], device=CPU)
    return [int(sampler.draw(logits_V[None])) for _ in range(count)]


def batch_of_draws(logits_V: Tensor, count: int, **options: Any) -> Tensor:
    sampler = Sampler([SamplingOptions.of(seed=seed, **options) for seed in range(count)], device=CPU)
    return sampler.draw(logits_V.expand(count, -1))


def test_greedy_takes_the_likeliest() -> None:
    assert draws(LOGITS, 3) == [4, 4, 4]
    assert draws(LOGITS, 3, temperature=1.0, top_k=1) == [4, 4, 4]


@pytest.mark.parametrize("options", [{}, {"top_k": 4}, {"top_p": 0.6}, {"top_k": 5, "top_p": 0.8}, {"top_k": 100}])
@pytest.mark.parametrize("temperature", [0.7, 1.0, 3.0])
def test_shares_are_those_of_the_limited_softmax(options: dict[str, Any], temperature: float) -> None:
    wanted = shares(LOGITS, temperature, **options)
    found = batch_of_draws(LOGITS, 4000, temperature=temperature, **options).bincount(minlength=len(LOGITS))
    assert not found[wanted == 0].any()
    kept = wanted > 0
    chi_square = ((found[kept] - 4000 * wanted[kept]) ** 2 / (4000 * wanted[kept])).sum()
    assert chi_square < 30  # 8 tokens; chance passes 30 once in ten thousand


def shares(logits_V: Tensor, temperature: float, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    """As transformers' own warpers leave them."""
    from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    warpers = LogitsProcessorList([TemperatureLogitsWarper(temperature)])
    if top_k:
        warpers.append(TopKLogitsWarper(top_k))
    if top_p < 1:
        warpers.append(TopPLogitsWarper(top_p))
    limited: Tensor = warpers(torch.zeros(1, 1, dtype=torch.int64), logits_V[None])
    return limited.softmax(-1)[0]


@pytest.mark.parametrize("top_p", [0.01, 0.5, 0.9, 0.999])
def test_top_p_over_a_large_vocabulary_keeps_what_transformers_keeps(top_p: float) -> None:
    for flatness in (0.1, 1.0, 5.0):  # the share is reached within the first thousand tokens, or far past them
        logits = torch.randn(5000, generator=torch.Generator().manual_seed(1)) * flatness
        kept = set((shares(logits, 1.0, top_p=top_p) > 0).nonzero()[:, 0].tolist())
        assert set(batch_of_draws(logits, 300, temperature=1.0, top_p=top_p).tolist()) <= kept


def test_a_row_is_drawn_alike_beside_others() -> None:
    logits = torch.randn(6, 50, generator=torch.Generator().manual_seed(0))
    mixed: list[dict[str, Any]] = [
        {},
        {"top_k": 5},
        {"top_p": 0.5},
        {"temperature": 0.0},
        {"top_k": 1},
        {"temperature": 9.0},
    ]
    options = [SamplingOptions(**{"temperature": 1.0, "seed": n, **each}) for n, each in enumerate(mixed)]
    together = [Sampler(options, device=CPU).draw(logits).tolist() for _ in range(2)]
    alone = [int(Sampler([each], device=CPU).draw(logits[n, None])) for n, each in enumerate(options)]
    assert together == [alone, alone]


def test_streams_stay_with_their_requests_when_others_leave() -> None:
    options = [SamplingOptions(temperature=1.0, seed=seed) for seed in (3, 4, 5)]
    logits = torch.zeros(1, 1000)
    wanted = []
    for each in options:
        sampler = Sampler([each], device=CPU)
        wanted.append([int(sampler.draw(logits)) for _ in range(3)])
    sampler = Sampler(options, device=CPU)
    found = [sampler.draw(logits.expand(3, -1)).tolist()]
    sampler.keep([2, 1])
    found.append(sampler.draw(logits.expand(2, -1)).tolist())
    sampler.keep([1])
    found.append(sampler.draw(logits).tolist())
    assert found == [[row[0] for row in wanted], [wanted[2][1], wanted[1][1]], [wanted[1][2]]]


def test_without_a_seed_draws_differ() -> None:
    logits = torch.zeros(1, 10**6)
    found = {int(Sampler([SamplingOptions(temperature=1.0)], device=CPU).draw(logits)) for _ in range(4)}
    assert len(found) > 1


def test_half_precision_is_drawn_in_full() -> None:
    logits = torch.zeros(1, 70_000, dtype=torch.float16)
    found = {int(Sampler([SamplingOptions(temperature=1.0, seed=s)], device=CPU).draw(logits)) for s in range(50)}
    assert len(found) == 50
    assert max(found) > 60_000


def test_nan_is_an_error_with_the_dtype() -> None:
    with pytest.raises(TriptychError, match=r"the model gave NaN as a logit in torch\.float16"):
        draws(torch.tensor([0.0, float("nan")], dtype=torch.float16), 1)


def test_every_wrong_option_is_named() -> None:
    wrong = {
        "max_tokens": 0,
        "temperature": -1,
        "top_k": -2,
        "top_p": 0,
        "seed": -1,
        "stop": [""],
        "stop_token_ids": [-5],
    }
    with pytest.raises(OptionError) as caught:
        SamplingOptions(**wrong)
    assert str(caught.value).splitlines() == [
        "max_tokens: is 0; a whole number from 1 on is needed",
        "temperature: is -1; a number from 0 on is needed, 0 for greedy",
        "top_k: is -2; a whole number from 0 on is needed, 0 for all tokens",
        "top_p: is 0; a number above 0 and up to 1 is needed, 1 for all tokens",
        "seed: is -1; a whole number from 0 to 2**63 - 1 is needed, or none",
        "stop: is ('',); texts with at least one character are needed",
        "stop_token_ids: is (-5,); token ids are needed",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_tokens", True),
        ("max_tokens", 2.0),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("temperature", "1"),
        ("top_p", 1.1),
        ("top_k", None),
        ("seed", 2**63),
        ("stop", [3]),
        ("stop", 3),
        ("stop_token_ids", ["a"]),
    ],
)
def test_values_of_the_wrong_kind_are_refused(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=f"^{name}: is "):
        SamplingOptions(**{name: value})


def test_an_unknown_option_is_named_with_the_nearest() -> None:
    with pytest.raises(OptionError, match="max_token: no such option; did you mean 'max_tokens'"):
        SamplingOptions.of(max_token=3)
    assert SamplingOptions.of(stop="end") == SamplingOptions(stop=("end",))
