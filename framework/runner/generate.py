"""The loop from requests to tokens: a batch is read, decodes together, and shrinks as its requests end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial

from triptych.errors import InputError, OptionError, Problem
from triptych.inputs.prompt import Prompt
from triptych.inputs.tokenizer import Tokenizer
from triptych.runner.answer import Answer, FinishReason
from triptych.runner.batch import Batch, TextGenerationModel, TextModel
from triptych.runner.logprobs import PromptLogprobs, TokenLogprob
from triptych.runner.options import SamplingOptions
from triptych.runner.request import Request, RunOptions
from triptych.runner.waves import rows, waves


@dataclass(frozen=True)
class Event:
    """One token of one request (its number in the list), the text that it lets show, and why it was the last.

    Its logprob where that is asked for, and with the first token those of the prompt.
    """

    request: int
    token_id: int
    text: str
    finish_reason: FinishReason | None
    logprob: TokenLogprob | None = None
    prompt_logprobs: PromptLogprobs | None = None


def generate(
    model: TextGenerationModel,
    requests: Sequence[Request],
    *,
    run: RunOptions,
    tokenizer: Tokenizer | None = None,
    end_ids: AbstractSet[int] = frozenset(),
    live: bool = False,
) -> Iterator[Event]:
    """Answer the requests, as many at a time as `max_batch` and the memory for their cache allow; the others wait.

    `end_ids` end an answer. With `live` each event brings its text, otherwise the last one of a request brings it all.
    Raises InputError, before anything runs, for prompts that are empty, too long or hold unknown ids, and for a request
    that no cache would fit; OptionError for options that name unknown ids.
    """
    check_prompts(model, [request.prompt for request in requests])
    check_options(model, [request.options for request in requests])
    limits = [_limit(model, request) for request in requests]
    lengths = [(len(request.prompt.token_ids), limit) for request, limit in zip(requests, limits, strict=True)]
    for wave in waves(lengths, model.cache_needs(), run):
        capacity = max(rows(*lengths[number]) for number in wave)
        asked = [requests[number] for number in wave]
        forms = [request.form(end_ids) for request in asked]
        batch = Batch(model, asked, capacity=capacity, run=run, end_ids=end_ids, forms=forms)
        start = partial(Answer, end_ids=end_ids, tokenizer=tokenizer, live=live)
        each = zip(wave, asked, forms, strict=True)
        yield from _answer(batch, {n: start(request.options, limit=limits[n], form=form) for n, request, form in each})


def check_prompts(model: TextModel, prompts: Sequence[Prompt]) -> None:
    """Raise InputError that names every prompt which is empty, too long, or holds an id that the model lacks."""
    problems = []
    for number, prompt in enumerate(prompts):
        if message := _mistake(model, prompt):
            problems.append(Problem(message, f"prompts[{number}]" if len(prompts) > 1 else "prompt"))
    if problems:
        raise InputError(problems)


def check_options(model: TextModel, options: Sequence[SamplingOptions]) -> None:
    """Raise OptionError for options that name token ids which the model lacks, each told once."""
    problems = dict.fromkeys(problem for each in options for problem in each.unknown_ids(model.vocab_size))
    if problems:
        raise OptionError(problems)


def _mistake(model: TextModel, prompt: Prompt) -> str | None:
    ids = prompt.token_ids
    if not ids:
        return "is empty; at least one token is needed"
    if model.context is not None and len(ids) > model.context:
        return f"has {len(ids)} tokens, and the model takes at most {model.context}; shorten it"
    if min(ids) >= 0 and max(ids) < model.vocab_size:
        return None
    places = zip(ids, prompt.item_rows(), strict=True)
    wrong = [token for token, of_item in places if not of_item and not 0 <= token < model.vocab_size]
    return f"has the token id {wrong[0]}, and the model has 0 to {model.vocab_size - 1}" if wrong else None


def _limit(model: TextGenerationModel, request: Request) -> int:
    """The most tokens that the answer may have; the last one drawn is read by no layer and needs no place."""
    asked = request.options.max_tokens
    return asked if model.context is None else min(asked, model.context + 1 - len(request.prompt.token_ids))


def _answer(batch: Batch, answers: dict[int, Answer]) -> Iterator[Event]:
    """Run a batch to its end. `answers` by number of request, in the order of the batch."""
    running = [*answers.items()]
    tokens = batch.prefill()
    prompts = dict(zip(answers, batch.prompt_logprobs, strict=True))
    while True:
        for (number, answer), (token, logprob) in zip(running, tokens, strict=True):
            text = answer.push(token)
            yield Event(number, token, text, answer.finish_reason, logprob, prompts.pop(number, None))
        left = _closed_up([answer.finish_reason is None for _, answer in running])
        if not left:
            return
        if len(left) < len(running):
            batch.keep(left)
            running = [running[row] for row in left]
        tokens = batch.decode()


def _closed_up(runs: Sequence[bool]) -> list[int]:
    """The rows that run on, the last of them in the gaps of those that do not: few change their place."""
    rows = [row for row, on in enumerate(runs) if on]
    late = [row for row in rows if row >= len(rows)]
    return [row if runs[row] else late.pop() for row in range(len(rows))]
