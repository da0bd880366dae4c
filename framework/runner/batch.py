"""Requests that run together: one forward call a step, whether it reads prompts or the last token of each."""

# T tokens of a step, B running requests, D width, V vocabulary

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain, pairwise
from typing import Any, Protocol

import torch
from torch import Tensor

from triptych.inputs.prompt import Prompt
from triptych.parts.cache import Cache
from triptych.parts.cache_needs import Rows
from triptych.parts.step import Step
from triptych.registry.authors import blaming
from triptych.runner.encode import encode_items
from triptych.runner.grammar import Form
from triptych.runner.logprobs import PromptLogprobs, TokenLogprob, score_prompt
from triptych.runner.request import Request, RunOptions
from triptych.runner.rows import check_logits, check_rows
from triptych.runner.sampling import Sampler

Token = tuple[int, TokenLogprob | None]
RUNS = "as it runs"  # what is told of code that fails
PREFILL = 8192  # tokens of prompts in one call, which bounds its activations; a longer prompt has a call of its own


class TextModel(Protocol):
    """What the runner asks of any model. Tokens are flat, sequences packed one after the other as `step` says."""

    @property
    def context(self) -> int | None: ...

    @property
    def vocab_size(self) -> int: ...

    def embed_input_ids(
        self,
        input_ids: Tensor,
        multimodal_embeddings: Sequence[Tensor] | None = None,
        *,
        is_multimodal: Tensor | None = None,
    ) -> Tensor: ...

    def embed_multimodal(self, **items: Any) -> Sequence[Tensor] | Tensor: ...

    def __call__(
        self, input_ids: Tensor | None, positions: Tensor, *, step: Step, inputs_embeds: Tensor | None = None
    ) -> Any: ...


class TextGenerationModel(TextModel, Protocol):
    """A model that writes."""

    def cache_needs(self) -> Mapping[str, Rows]: ...

    def compute_logits(self, hidden_states: Tensor) -> Tensor: ...


class PooledModel(TextModel, Protocol):
    """A model that gives one row for a prompt."""

    @property
    def pooler(self) -> Callable[[Tensor, Step], Tensor]: ...


class Batch:
    """Requests in the slots of a cache of `capacity` rows each. A step gives one token per request, in their order.

    `end_ids` are the ids that end an answer. `forms` hold each answer to its form, None for those that are free; they
    have to be told of a token before the next step. `prompt_logprobs` has those of each request once it is read.
    """

    def __init__(
        self,
        model: TextGenerationModel,
        requests: Sequence[Request],
        *,
        capacity: int,
        run: RunOptions,
        end_ids: AbstractSet[int] = frozenset(),
        forms: Sequence[Form | None] | None = None,
    ) -> None:
        self._model, self._requests, self._run = model, requests, run
        sizes = {"slots": len(requests), "capacity": capacity}
        self._cache = Cache(model.cache_needs(), **sizes, dtype=run.dtype, device=run.device)
        self._sampler = Sampler(len(requests), vocab_size=model.vocab_size, device=run.device, end_ids=end_ids)
        self._slots = list(range(len(requests)))
        for slot, (request, form) in enumerate(zip(requests, forms or [None] * len(requests), strict=True)):
            self._sampler.add(slot, request.options, request.prompt.token_ids, mask=form)
        self.prompt_logprobs: list[PromptLogprobs | None] = [None] * len(requests)
        self._ids_B = torch.empty(0, dtype=torch.int64)

    @torch.inference_mode()
    def prefill(self) -> list[Token]:
        """Read the prompts -> the first token of each."""
        lengths = [len(request.prompt.token_ids) for request in self._requests]
        return self._draw(torch.cat([self._read(slots) for slots in packed(lengths)]))

    @torch.inference_mode()
    def decode(self) -> list[Token]:
        """Read the last token of each -> the next."""
        step = self._cache.step([1] * len(self._ids_B))
        with blaming(self._model, RUNS):
            hidden_BD = self._model(self._ids_B, step.positions, step=step)
        return self._draw(self._logits(check_rows(self._model, hidden_BD, len(self._ids_B), by="forward")))

    @torch.inference_mode()
    def keep(self, rows: Sequence[int]) -> None:
        """The requests of these rows stay, in this order; the slots of the others are free."""
        self._cache.keep(rows)
        kept = [self._slots[row] for row in rows]
        for slot in set(self._slots).difference(kept):
            self._sampler.remove(slot)
        self._slots = kept
        self._ids_B = self._ids_B[torch.tensor(rows, device=self._run.device)]

    def _read(self, slots: Sequence[int]) -> Tensor:
        """Logits after the prompts in these slots, [len(slots), V]: only the last row of each goes through the head."""
        prompts = [self._requests[slot].prompt for slot in slots]
        step = self._cache.step([len(prompt.token_ids) for prompt in prompts], slots=slots)
        hidden_TD = read_prompts(self._model, prompts, step, run=self._run)
        for slot, (start, stop) in zip(slots, pairwise(step.bounds), strict=True):
            self.prompt_logprobs[slot] = self._scored(self._requests[slot], hidden_TD[start:stop])
        return self._logits(hidden_TD[torch.tensor(step.bounds[1:], device=self._run.device) - 1])

    def _scored(self, request: Request, hidden_TD: Tensor) -> PromptLogprobs | None:
        """The logprobs of a prompt, where they are asked for."""
        if (asked := request.options.prompt_logprobs) is None:
            return None
        vocab = self._model.vocab_size
        return score_prompt(self._logits, request.prompt, hidden_TD, likeliest=asked, vocab_size=vocab)

    def _logits(self, hidden_BD: Tensor) -> Tensor:
        return read_logits(self._model, hidden_BD)

    def _draw(self, logits_BV: Tensor) -> list[Token]:
        drawn = self._sampler.draw(logits_BV, self._slots)
        self._ids_B = drawn.token_ids
        return list(zip(self._ids_B.tolist(), drawn.logprobs(), strict=True))


def packed(lengths: Sequence[int], *, most: int | None = None) -> Iterator[list[int]]:
    """Numbers of neighbouring prompts that are read in one call, `most` of them at the most."""
    group: list[int] = []
    tokens = 0
    for number, length in enumerate(lengths):
        if group and (tokens + length > PREFILL or len(group) == most):
            yield group
            group, tokens = [], 0
        group.append(number)
        tokens += length
    if group:
        yield group


def read_prompts(model: TextModel, prompts: Sequence[Prompt], step: Step, *, run: RunOptions) -> Tensor:
    """Hidden rows [T, D] of packed prompts, with those of their items in place.

    Raises PluginError, which says where and whose it is, when code of others fails in the model.
    """
    ids_T = torch.tensor([*chain.from_iterable(prompt.token_ids for prompt in prompts)], device=run.device)
    features = [feature for prompt in prompts for feature in prompt.features]
    embeds_TD = None
    with blaming(model, RUNS):
        if features:
            rows = encode_items(model, features, device=run.device)
            mask_T = torch.tensor([*chain.from_iterable(p.item_rows() for p in prompts)], device=run.device)
            embeds_TD = model.embed_input_ids(ids_T, rows, is_multimodal=mask_T)
        hidden_TD = model(ids_T, step.positions, step=step, inputs_embeds=embeds_TD)
    return check_rows(model, hidden_TD, len(ids_T), by="forward")


def read_logits(model: TextGenerationModel, hidden_ND: Tensor) -> Tensor:
    """Logits [N, V] of hidden rows.

    Raises CapabilityError for rows of another width than the vocabulary, PluginError as `read_prompts` does.
    """
    with blaming(model, RUNS):
        logits_NV = model.compute_logits(hidden_ND)
    return check_logits(model, logits_NV, len(hidden_ND), vocab_size=model.vocab_size)
