"""What a request may ask of its answer, each value checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, fields
from typing import Any

from triptych.errors import OptionError, Problem, short, suggest

COLDEST = 1e-5  # below this temperature the likeliest token is as good as certain
LARGEST = 2.0**100  # so far float32 reckons without an overflow


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """What one request asks for. What is left out changes nothing: each default is neutral.

    From the model's logits to a token, in this order: `logit_bias` (a number added, by token id); `repetition_penalty`
    (logits of the tokens of prompt and answer, divided by it where positive and multiplied where negative);
    `presence_penalty` (taken off once from each token of the answer) and `frequency_penalty` (once for each time that
    it is there); ends are forbidden before `min_tokens`; `json_schema` or `regex` forbids what does not fit; then
    `temperature` (0 takes the likeliest that is left), `top_k` likeliest (those as likely as the last of them too),
    `top_p` (the likeliest that make up this share of what is left), `min_p` (those at least this share as likely as the
    likeliest).

    A draw depends on the logits, the `seed` and the number of the token in its answer alone, so a request with a seed
    gives the same whatever runs beside it. `logprobs` of k tells the logprob of each token of the answer and of the k
    likeliest there, `prompt_logprobs` the same of the prompt: always those of the model's own logits (log_softmax in
    float32), before any of the above. `ignore_eos` goes on past the end tokens of the checkpoint.

    Raises OptionError with everything that is wrong.
    """

    max_tokens: int = 16
    min_tokens: int = 0
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None
    stop: str | Sequence[str] = ()
    stop_token_ids: Sequence[int] = ()
    ignore_eos: bool = False
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    json_schema: Mapping[str, Any] | None = None
    regex: str | None = None

    @classmethod
    def of(cls, **options: Any) -> SamplingOptions:
        """Options by name. Raises OptionError for an unknown one, with the nearest name."""
        names = [each.name for each in fields(cls)]
        if unknown := [name for name in options if name not in names]:
            raise OptionError(Problem(f"no such option{suggest(name, names)}", name) for name in unknown)
        return cls(**options)

    def __post_init__(self) -> None:
        for name in ("stop", "stop_token_ids"):
            object.__setattr__(self, name, _listed(getattr(self, name)))
        if problems := [*self._wrong_values(), *self._contradictions()]:
            raise OptionError(problems)

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is taken."""
        return self.temperature < COLDEST or self.top_k == 1

    @property
    def limited(self) -> bool:
        """Whether tokens are drawn from some of all."""
        return self.top_k > 0 or self.top_p < 1 or self.min_p > 0

    @property
    def penalized(self) -> bool:
        """Whether tokens that were there already count less, or more."""
        return self.repetition_penalty != 1 or self.presence_penalty != 0 or self.frequency_penalty != 0

    @property
    def constrained(self) -> bool:
        """Whether the whole answer has to be of a form."""
        return self.json_schema is not None or self.regex is not None

    def ends(self, end_ids: AbstractSet[int]) -> frozenset[int]:
        """The ids that end the answer, of a model whose own are `end_ids`."""
        return frozenset(self.stop_token_ids) | (frozenset() if self.ignore_eos else end_ids)

    def unknown_ids(self, vocab_size: int) -> Iterator[Problem]:
        """Token ids among the options that a model of this size does not have."""
        for token in self.logit_bias:
            if token >= vocab_size:
                yield Problem(f"has the token id {token}, and the model has 0 to {vocab_size - 1}", "logit_bias")

    def _wrong_values(self) -> Iterator[Problem]:
        for name, (is_right, wanted) in _WANTED.items():
            if not is_right(value := getattr(self, name)):
                yield Problem(f"is {short(value)}; {wanted}", name)

    def _contradictions(self) -> Iterator[Problem]:
        least, most = self.min_tokens, self.max_tokens
        if _count(least) and _count(most) and 0 < most < least:
            yield Problem(f"is {least}, and max_tokens is {most}", "min_tokens")
        forms = [name for name in ("json_schema", "regex") if getattr(self, name) is not None]
        if len(forms) == 2:
            yield Problem("is given beside json_schema; an answer has one form", "regex")
        if forms and _count(least) and least > 0:
            yield Problem(f"is given beside {forms[0]}, which says by itself when an answer ends", "min_tokens")


def _listed(value: object) -> tuple[object, ...]:
    return (value,) if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _count(value: Any) -> bool:
    return _is_int(value) and value >= 0


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def _biases(value: object) -> bool:
    return isinstance(value, Mapping) and all(map(_count, value)) and all(map(_finite, value.values()))


# What is right for each option, and how it is told
_WANTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "max_tokens": (lambda v: _count(v) and v > 0, "a whole number from 1 on is needed"),
    "min_tokens": (_count, "a whole number from 0 on is needed"),
    "temperature": (lambda v: _finite(v) and v >= 0, "a number from 0 on is needed, 0 for greedy"),
    "top_k": (_count, "a whole number from 0 on is needed, 0 for all tokens"),
    "top_p": (lambda v: _finite(v) and 0 < v <= 1, "a number above 0 and up to 1 is needed, 1 for all tokens"),
    "min_p": (lambda v: _finite(v) and 0 <= v <= 1, "a number from 0 to 1 is needed, 0 for all tokens"),
    "repetition_penalty": (lambda v: _finite(v) and v > 1 / LARGEST, "a number above 0 is needed, 1 for none"),
    "presence_penalty": (_finite, "a number is needed, 0 for none"),
    "frequency_penalty": (_finite, "a number is needed, 0 for none"),
    "logit_bias": (_biases, "a number for each of some token ids is needed"),
    "seed": (lambda v: v is None or (_count(v) and v < 2**63), "a whole number from 0 to 2**63 - 1 is needed, or none"),
    "stop": (
        lambda v: all(isinstance(text, str) and text for text in v),
        "texts with at least one character are needed",
    ),
    "stop_token_ids": (lambda v: all(map(_count, v)), "token ids are needed"),
    "ignore_eos": (lambda v: isinstance(v, bool), "True or False is needed"),
    "logprobs": (lambda v: v is None or _count(v), "a whole number from 0 on is needed, or none"),
    "prompt_logprobs": (lambda v: v is None or _count(v), "a whole number from 0 on is needed, or none"),
    "json_schema": (lambda v: v is None or isinstance(v, Mapping), "a JSON schema as a mapping is needed, or none"),
    "regex": (lambda v: v is None or isinstance(v, str), "a regular expression is needed, or none"),
}
