"""Requests come and go, and each step computes some tokens of many: reading prompts and writing answers go together."""

# T tokens of a step, B requests that draw a token, D width, V vocabulary

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from itertools import count

import torch
from torch import Tensor

from triptych.inputs.prompt import Prompt
from triptych.inputs.tokenizer import Tokenizer
from triptych.parts.cache import Cache
from triptych.registry.authors import blaming
from triptych.runner.answer import Answer, FinishReason
from triptych.runner.drawn import Drawn
from triptych.runner.encoded import EncodedItems, item_parts
from triptych.runner.entry import Entry
from triptych.runner.logprobs import PromptLogprobs, TokenLogprob, score_prompt
from triptych.runner.pages import PagePool
from triptych.runner.protocols import TextGenerationModel
from triptych.runner.reading import RUNS, forward, read_logits
from triptych.runner.request import Request, RunOptions
from triptych.runner.sampling import Sampler
from triptych.runner.schedule import Chunk, Plan, Scheduler
from triptych.runner.sizes import Sizes
from triptych.runner.staged import Staged
from triptych.runner.tables import PageTables

ENCODED = 2**28  # bytes of encoded items that are kept


@dataclass(frozen=True)
class Event:
    """One token of one request, by its number, the text that it lets show, and why it was the last.

    Its logprob where that is asked for, and with the first token those of the prompt.
    """

    request: int
    token_id: int
    text: str
    finish_reason: FinishReason | None
    logprob: TokenLogprob | None = None
    prompt_logprobs: PromptLogprobs | None = None


class Engine:
    """Runs the requests that it is given, each of at most `sizes.longest` tokens, in the pages of one cache.

    `end_ids` end an answer. With `live` each event brings its text, otherwise the last one of a request brings it all.
    """

    def __init__(
        self,
        model: TextGenerationModel,
        *,
        sizes: Sizes,
        run: RunOptions,
        tokenizer: Tokenizer | None = None,
        end_ids: AbstractSet[int] = frozenset(),
        live: bool = False,
    ) -> None:
        self._model, self._run, self._sizes = model, run, sizes
        self._tokenizer, self._end_ids, self._live = tokenizer, end_ids, live
        self._cache = Cache(sizes.layout, dtype=run.dtype, device=run.device)
        self._pool = PagePool(sizes.layout.pages)
        tables = PageTables(self._pool, sizes.layout.groups, reuse=not self._cache.states)
        self._scheduler = Scheduler(tables, seqs=sizes.seqs, tokens=run.max_num_batched_tokens)
        self._sampler = Sampler(sizes.seqs, vocab_size=model.vocab_size, device=run.device, end_ids=end_ids)
        self._encoded = EncodedItems(model, budget=ENCODED, device=run.device)
        self._entries: dict[int, Entry] = {}
        self._numbers = count()

    def add(self, request: Request) -> int:
        """A request waits for its turn -> its number. It was checked before."""
        number = next(self._numbers)
        form = request.form(self._end_ids)
        answer = Answer(
            request.options,
            limit=min(answer_limit(self._model, request), self._sizes.longest + 1 - len(request.prompt.token_ids)),
            end_ids=self._end_ids,
            tokenizer=self._tokenizer,
            live=self._live,
            form=form,
        )
        self._entries[number] = entry = Entry.of(number, request, answer, form)
        self._scheduler.add(entry)
        return number

    def cancel(self, number: int) -> None:
        """A request is wanted no longer; nothing happens to one that has ended."""
        if entry := self._entries.get(number):
            self._end(entry)

    @property
    def busy(self) -> bool:
        """Whether any request is to be answered."""
        return bool(self._entries)

    @torch.inference_mode()
    def step(self) -> list[Event]:
        """Compute what the next step is to have -> the tokens that were drawn."""
        plan = self._scheduler.plan()
        self._prepare(plan)
        if not plan.writers and not plan.chunks:
            return []
        hidden_TD = self._hidden(plan)
        drawing, rows = [*plan.writers], [*range(len(plan.writers))]
        stop = len(rows)
        for chunk in plan.chunks:
            start, stop = stop, stop + chunk.count
            self._keep_prompt(chunk, hidden_TD[start:stop])
            if self._scheduler.advance(chunk):
                drawing.append(chunk.entry)
                rows.append(stop - 1)
        return self._drawn(drawing, hidden_TD, rows) if drawing else []

    def _prepare(self, plan: Plan) -> None:
        for _, slot in plan.stopped:
            self._sampler.remove(slot)
        for entry in plan.started:
            assert entry.slot is not None
            prompt = entry.request.prompt.token_ids
            self._sampler.add(entry.slot, entry.options, prompt, answer_ids=entry.answer_ids, mask=entry.form)
        for copy in plan.copies:
            self._cache.copy(copy.group, copy.source.page, copy.to, copy.source.rows)

    def _hidden(self, plan: Plan) -> Tensor:
        """The hidden rows [T, D] of the tokens of a step."""
        entries = [*plan.writers, *(chunk.entry for chunk in plan.chunks)]
        ids = [entry.tokens[-1] for entry in plan.writers]
        for chunk in plan.chunks:
            ids += chunk.entry.tokens[chunk.entry.read : chunk.entry.read + chunk.count]
        step = self._cache.step_in(
            [1] * len(plan.writers) + [chunk.count for chunk in plan.chunks],
            past=[entry.rows for entry in entries],
            tables=[*zip(*(entry.tables for entry in entries), strict=True)],
            slots=[entry.slot for entry in entries if entry.slot is not None],
        )
        ids_T = torch.tensor(ids, device=self._run.device)
        return forward(self._model, ids_T, step, self._embeds(plan, ids_T))

    def _embeds(self, plan: Plan, ids_T: Tensor) -> Tensor | None:
        """The inputs [T, D] of a step in which rows of items stand; None where there are none."""
        parts = [part for chunk in plan.chunks for part in item_parts(_prompt(chunk), chunk.entry.read, chunk.count)]
        if not parts:
            return None
        mask = [False] * len(plan.writers) + [is_item for chunk in plan.chunks for is_item in _item_rows(chunk)]
        mask_T = torch.tensor(mask, device=self._run.device)
        with blaming(self._model, RUNS):
            encoded = self._encoded.rows([part.feature for part in parts])
            rows = [part.of(each) for part, each in zip(parts, encoded, strict=True)]
            return self._model.embed_input_ids(ids_T, rows, is_multimodal=mask_T)

    def _drawn(self, entries: Sequence[Entry], hidden_TD: Tensor, rows: Sequence[int]) -> list[Event]:
        """The next token of each, after the hidden rows that are its last."""
        hidden_BD = hidden_TD if len(rows) == len(hidden_TD) else hidden_TD[torch.tensor(rows, device=self._run.device)]
        drawn = self._draw(hidden_BD, [entry.slot for entry in entries if entry.slot is not None])
        pairs = zip(entries, drawn.token_ids.tolist(), drawn.logprobs(), strict=True)
        return [self._event(entry, token, logprob) for entry, token, logprob in pairs]

    def _draw(self, hidden_BD: Tensor, slots: Sequence[int]) -> Drawn:
        if isinstance(self._model, Staged):
            return self._model.draw(hidden_BD, self._sampler, slots)
        return self._sampler.draw(read_logits(self._model, hidden_BD), slots)

    def _event(self, entry: Entry, token: int, logprob: TokenLogprob | None) -> Event:
        prompt = self._scored_prompt(entry) if entry.hidden else None
        entry.tokens.append(token)
        text, reason = entry.answer.push(token), entry.answer.finish_reason
        if reason is not None:
            self._end(entry)
        return Event(entry.number, token, text, reason, logprob, prompt)

    def _end(self, entry: Entry) -> None:
        if entry.slot is not None:
            self._sampler.remove(entry.slot)
        self._scheduler.drop(entry)
        del self._entries[entry.number]

    def _keep_prompt(self, chunk: Chunk, hidden_CD: Tensor) -> None:
        """Rows of a prompt whose logprobs are asked for, until it is read."""
        if chunk.entry.options.prompt_logprobs is not None and not chunk.entry.answer_ids:
            chunk.entry.hidden.append(hidden_CD)

    def _scored_prompt(self, entry: Entry) -> PromptLogprobs:
        hidden_TD, asked = torch.cat(entry.hidden), entry.options.prompt_logprobs
        assert asked is not None
        entry.hidden = []
        head, vocab = partial(read_logits, self._model), self._model.vocab_size
        return score_prompt(head, entry.request.prompt, hidden_TD, likeliest=asked, vocab_size=vocab)


def answer_limit(model: TextGenerationModel, request: Request) -> int:
    """The most tokens that the answer may have; the last one drawn is read by no layer and needs no place."""
    asked = request.options.max_tokens
    return asked if model.context is None else min(asked, model.context + 1 - len(request.prompt.token_ids))


def _prompt(chunk: Chunk) -> Prompt:
    return chunk.entry.request.prompt


def _item_rows(chunk: Chunk) -> Sequence[bool]:
    """Which tokens of a chunk are rows of items."""
    found = _prompt(chunk).item_rows()[chunk.entry.read : chunk.entry.read + chunk.count]
    return found + [False] * (chunk.count - len(found))
