"""What a request may ask for: wrong values are all named, with what would do."""

from __future__ import annotations

from typing import Any

import pytest

from triptych.errors import OptionError
from triptych.runner.options import SamplingOptions


def test_every_wrong_option_is_named() -> None:
    wrong: dict[str, Any] = {
        "max_tokens": 0,
        "min_tokens": -1,
        "temperature": -1,
        "top_k": -2,
        "top_p": 0,
        "min_p": 1.5,
        "repetition_penalty": 0,
        "presence_penalty": "1",
        "frequency_penalty": None,
        "logit_bias": {-1: 2},
        "seed": -1,
        "stop": [""],
        "stop_token_ids": [-5],
        "ignore_eos": 1,
        "logprobs": -1,
        "prompt_logprobs": 1.0,
        "json_schema": "{}",
        "regex": 3,
    }
    with pytest.raises(OptionError) as caught:
        SamplingOptions(**wrong)
    assert str(caught.value).splitlines() == [
        "max_tokens: is 0; a whole number from 1 on is needed",
        "min_tokens: is -1; a whole number from 0 on is needed",
        "temperature: is -1; a number from 0 on is needed, 0 for greedy",
        "top_k: is -2; a whole number from 0 on is needed, 0 for all tokens",
        "top_p: is 0; a number above 0 and up to 1 is needed, 1 for all tokens",
        "min_p: is 1.5; a number from 0 to 1 is needed, 0 for all tokens",
        "repetition_penalty: is 0; a number above 0 is needed, 1 for none",
        "presence_penalty: is '1'; a number is needed, 0 for none",
        "frequency_penalty: is None; a number is needed, 0 for none",
        "logit_bias: is {-1: 2}; a number for each of some token ids is needed",
        "seed: is -1; a whole number from 0 to 2**63 - 1 is needed, or none",
        "stop: is ('',); texts with at least one character are needed",
        "stop_token_ids: is (-5,); token ids are needed",
        "ignore_eos: is 1; True or False is needed",
        "logprobs: is -1; a whole number from 0 on is needed, or none",
        "prompt_logprobs: is 1.0; a whole number from 0 on is needed, or none",
        "json_schema: is '{}'; a JSON schema as a mapping is needed, or none",
        "regex: is 3; a regular expression is needed, or none",
        "regex: is given beside json_schema; an answer has one form",
    ]
    assert set(wrong) == set(SamplingOptions.__dataclass_fields__)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_tokens", True),
        ("max_tokens", 2.0),
        ("min_tokens", 1.0),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("temperature", "1"),
        ("top_p", 1.1),
        ("top_p", float("nan")),
        ("top_k", None),
        ("min_p", -0.1),
        ("repetition_penalty", -1.0),
        ("repetition_penalty", 1e-300),
        ("presence_penalty", 1e300),
        ("frequency_penalty", float("nan")),
        ("frequency_penalty", True),
        ("logit_bias", {5: "x"}),
        ("logit_bias", {"5": 1.0}),
        ("logit_bias", {5: float("inf")}),
        ("logit_bias", [5]),
        ("seed", 2**63),
        ("seed", True),
        ("stop", [3]),
        ("stop", 3),
        ("stop_token_ids", ["a"]),
        ("ignore_eos", None),
        ("logprobs", True),
        ("json_schema", True),
    ],
)
def test_values_of_the_wrong_kind_are_refused(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=f"^{name}: is "):
        SamplingOptions(**{name: value})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_tokens": 5, "max_tokens": 4}, "min_tokens: is 5, and max_tokens is 4"),
        ({"json_schema": {}, "regex": "a"}, "regex: is given beside json_schema; an answer has one form"),
        ({"json_schema": {}, "min_tokens": 2}, "min_tokens: is given beside json_schema, which says by itself when"),
        ({"regex": "", "min_tokens": 2}, "min_tokens: is given beside regex, which says by itself when"),
    ],
)
def test_options_that_contradict_each_other_are_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        SamplingOptions(**options)
    assert str(caught.value).startswith(message)


def test_an_unknown_option_is_named_with_the_nearest() -> None:
    with pytest.raises(OptionError, match="max_token: no such option; did you mean 'max_tokens'"):
        SamplingOptions.of(max_token=3)
    assert SamplingOptions.of(stop="end") == SamplingOptions(stop=("end",))
