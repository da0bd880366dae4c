"""What `generate` gives for a prompt, and how it may be asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from triptych.runner.answer import FinishReason
from triptych.runner.event import Event
from triptych.runner.logprobs import PromptLogprobs, TokenLogprob


@dataclass(frozen=True)
class Completion:
    """The answer to one prompt. `token_ids` has the token that ended it, `text` has neither that nor a stop string.

    Where they are asked for: `logprobs`, one for each of `token_ids`, and `prompt_logprobs`, one for each token of the
    prompt after its first, None where that stands for a row of an image.
    """

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    prompt_token_ids: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...] | None = None
    prompt_logprobs: PromptLogprobs | None = None


class GenerateOptions(TypedDict, total=False):
    """How `generate` and `stream` answer: the fields of `SamplingOptions`, which has their meaning and defaults."""

    max_tokens: int
    min_tokens: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    logit_bias: Mapping[int, float]
    seed: int | None
    stop: str | Sequence[str]
    stop_token_ids: Sequence[int]
    ignore_eos: bool
    logprobs: int | None
    prompt_logprobs: int | None
    json_schema: Mapping[str, Any] | None
    regex: str | None


def completed(events: Sequence[Event], prompt_token_ids: tuple[int, ...]) -> Completion:
    """What all events of a request make together."""
    reason = events[-1].finish_reason
    assert reason is not None, "a run ends when every request has ended"
    found = [event.logprob for event in events if event.logprob is not None]
    return Completion(
        text="".join(event.text for event in events),
        token_ids=tuple(event.token_id for event in events),
        finish_reason=reason,
        prompt_token_ids=prompt_token_ids,
        logprobs=tuple(found) if found else None,
        prompt_logprobs=events[0].prompt_logprobs,
    )
