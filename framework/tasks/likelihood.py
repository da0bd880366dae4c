"""How likely a model finds given answers: what a score of a model that writes is made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from triptych.errors import InputError, Problem
from triptych.inputs.prompt import Prompt, as_token_ids
from triptych.inputs.tokenizer import Tokenizer
from triptych.kernels.choice import using
from triptych.runner.checks import check_prompts
from triptych.runner.protocols import TextGenerationModel
from triptych.runner.reading import packed, read_logits, read_prompts, step_of
from triptych.runner.request import RunOptions
from triptych.tasks.prompts import is_single

# N tokens of answers, V vocabulary

HEAD_ROWS = 256  # rows that go through the head in one call: each has a number for every word there is


@dataclass(frozen=True)
class Likelihood:
    """An answer after its prompt. `logprobs` are natural logarithms, one for each of `token_ids`, which add up.

    `is_greedy`: each of the tokens is the likeliest in its place.
    """

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    is_greedy: bool

    @property
    def logprob(self) -> float:
        """That of the whole answer."""
        return sum(self.logprobs)


def as_answers(answers: object, *, count: int, tokenizer: Tokenizer | None) -> list[tuple[int, ...]]:
    """The token ids of each answer, a text or ids, one for each of `count` prompts.

    A text is cut into tokens by itself, as a model would write it: nothing is put before it. Raises InputError that
    names every answer with a mistake, by its number.
    """
    listed = [answers] if is_single(answers) else list(answers) if isinstance(answers, Sequence) else None
    if listed is None or len(listed) != count:
        raise InputError(f"as many answers as prompts are needed, {count} here", path="answers")
    found, problems = list[tuple[int, ...]](), list[Problem]()
    for number, answer in enumerate(listed):
        try:
            found.append(_ids(answer, tokenizer))
        except InputError as error:
            problems += [Problem(problem.message, f"answers[{number}]") for problem in error.problems]
    if problems:
        raise InputError(problems)
    return found


@torch.inference_mode()
def likelihoods(
    model: TextGenerationModel, prompts: Sequence[Prompt], answers: Sequence[tuple[int, ...]], *, run: RunOptions
) -> list[Likelihood]:
    """How likely each answer is after its prompt, from one pass over both.

    Raises InputError for prompts that the model does not take with their answers.
    """
    check_prompts(model, prompts)
    whole = [
        replace(prompt, token_ids=(*prompt.token_ids, *answer)) for prompt, answer in zip(prompts, answers, strict=True)
    ]
    check_prompts(model, whole)
    found: list[Likelihood] = []
    for group in packed([len(each.token_ids) for each in whole], most=run.max_batch):
        with using(run.kernels):
            found += _together(model, [whole[number] for number in group], [answers[number] for number in group], run)
    return found


def _together(
    model: TextGenerationModel, whole: Sequence[Prompt], answers: Sequence[tuple[int, ...]], run: RunOptions
) -> Iterator[Likelihood]:
    step = step_of(whole, device=run.device)
    hidden_TD = read_prompts(model, whole, step, run=run)
    bounds = pairwise(step.bounds)
    before = [range(stop - len(answer) - 1, stop - 1) for (_, stop), answer in zip(bounds, answers, strict=True)]
    rows_N = torch.tensor([row for rows in before for row in rows], device=run.device)
    ids_N = torch.tensor([token for answer in answers for token in answer], device=run.device)
    chunks = zip(torch.split(hidden_TD[rows_N], HEAD_ROWS), torch.split(ids_N, HEAD_ROWS), strict=True)
    found = [_scored(read_logits(model, hidden_ND), ids) for hidden_ND, ids in chunks]
    sizes = [len(answer) for answer in answers]
    logprobs, greedy = (torch.split(torch.cat(each), sizes) for each in zip(*found, strict=True))
    for answer, values, hits in zip(answers, logprobs, greedy, strict=True):
        yield Likelihood(answer, tuple(values.tolist()), bool(hits.all()))


def _scored(logits_NV: Tensor, ids_N: Tensor) -> tuple[Tensor, Tensor]:
    """The log-probability [N] of each id, and whether it is the likeliest."""
    logits_NV = logits_NV.float()
    at_N1 = ids_N[:, None]
    return logits_NV.gather(1, at_N1)[:, 0] - logits_NV.logsumexp(1), logits_NV.max(1)[1] == ids_N


def _ids(answer: object, tokenizer: Tokenizer | None) -> tuple[int, ...]:
    if isinstance(answer, str) and tokenizer is None:
        raise InputError("is text, and this model has no tokenizer; give token ids")
    found = tuple(tokenizer.encode_bare(answer) if isinstance(answer, str) and tokenizer else as_token_ids(answer))
    if not found:
        raise InputError("is empty; at least one token is needed")
    return found
