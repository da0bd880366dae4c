"""Requests that come one by one, answered together: submit, stream, cancel."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Unpack

from triptych.arguments import check_arguments
from triptych.errors import InputError, TriptychError
from triptych.inputs.images import ImageInput
from triptych.runner.checks import check_options, check_prompts
from triptych.runner.engine import Engine as Runner
from triptych.runner.engine import Event
from triptych.runner.request import RunOptions, check_counts
from triptych.runner.sizes import ON_HOST, Sizes
from triptych.runner.staged import Staged
from triptych.tasks.completion import Collected, Completion, GenerateOptions
from triptych.tasks.model import Model
from triptych.tasks.prompts import Prompt, is_single


class Engine:
    """Answers requests as they come, many in one step, in a cache of a size that is fixed when it is made.

    `kv_cache_memory` are the bytes of the cache; without it most of what is free may be taken. A request has at most
    `max_model_len` tokens, prompt and answer; without it, as many as the model takes. At most `max_num_seqs` run at a
    time, the others wait; a step has at most `max_num_batched_tokens` tokens. Raises OptionError for numbers that are
    none, and when the memory does not hold one request, with what would fit.

    Steps are run by whoever waits for an answer, in whichever thread: there is none in the background. Of a model
    in stages every process has one, and makes the same calls to it in the same order.
    """

    def __init__(
        self,
        model: Model,
        *,
        kv_cache_memory: int | None = None,
        max_model_len: int | None = None,
        max_num_seqs: int = 32,
        max_num_batched_tokens: int = 8192,
    ) -> None:
        check_arguments(
            model=(model, Model),
            kv_cache_memory=(kv_cache_memory, int | None),
            max_model_len=(max_model_len, int | None),
            max_num_seqs=(max_num_seqs, int),
            max_num_batched_tokens=(max_num_batched_tokens, int),
        )
        check_counts(max_num_seqs=max_num_seqs, max_num_batched_tokens=max_num_batched_tokens)
        run = RunOptions(
            device=model.device,
            dtype=model.dtype,
            max_batch=max_num_seqs,
            cache_bytes=kv_cache_memory,
            max_num_batched_tokens=max_num_batched_tokens,
        )
        if isinstance(model.runs, Staged):
            run = model.runs.agreed(run, most=ON_HOST if run.device.type == "cpu" else None)
        self._model = model
        self._sizes = Sizes.for_any(model.runs, run, longest=max_model_len)
        self._runner = Runner(
            model.runs, sizes=self._sizes, run=run, tokenizer=model.tokenizer, end_ids=model.end_ids, live=True
        )
        self._answers: dict[int, Answering] = {}
        self._lock = threading.Lock()
        self._failure: BaseException | None = None

    def submit(
        self,
        prompt: Prompt,
        images: ImageInput | Sequence[ImageInput] | None = None,
        *,
        raw: bool = False,
        **options: Unpack[GenerateOptions],
    ) -> Answering:
        """A request waits for its turn; prompt, images and options are those of `Model.generate`.

        Raises InputError and OptionError with all that is wrong with it; others are not touched.
        """
        if not is_single(prompt):
            raise InputError("submit takes one prompt, a text or token ids", path="prompt")
        (request,) = self._model.requests(prompt, images, raw=raw, **options)
        check_prompts(self._model.module, [request.prompt], longest=self._sizes.longest)
        check_options(self._model.module, [request.options])
        with self._lock:
            self._check_runs()
            number = self._runner.add(request)
            answer = self._answers[number] = Answering(self, number, request.prompt.token_ids)
        return answer

    def run(self) -> None:
        """Answer everything that waits. Raises what the model does."""
        while self._answers:
            self.step()

    def step(self) -> None:
        """One step for all, whoever asks for it. When the model fails, every request ends with that."""
        with self._lock:
            self._check_runs()
            try:
                events = self._runner.step()
            except BaseException as error:
                self._failure = error
                raise
            for event in events:
                self._answers[event.request].push(event)
                if event.finish_reason is not None:
                    del self._answers[event.request]

    def _cancel(self, number: int) -> None:
        with self._lock:
            self._runner.cancel(number)
            self._answers.pop(number, None)

    def _check_runs(self) -> None:
        if self._failure is not None:
            message = "the engine ended with an error, and answers nothing more; make a new one"
            raise TriptychError(message) from self._failure


class Answering:
    """One request's answer as it comes: iterate over it, or `async for`, for its text; `result()` is the whole."""

    def __init__(self, engine: Engine, number: int, prompt_token_ids: tuple[int, ...]) -> None:
        self._engine, self._number, self._prompt = engine, number, prompt_token_ids
        self._events, self._read = Collected(), 0
        self._pieces: list[str] = []
        self.done, self.cancelled = False, False

    def push(self, event: Event) -> None:
        """Its next token."""
        self._events.push(event)
        if event.text:
            self._pieces.append(event.text)
        self.done = event.finish_reason is not None

    def __iter__(self) -> Iterator[str]:
        """The pieces of its text, from the first that was not read yet."""
        while (piece := self._next()) is not None:
            if piece:
                yield piece
            else:
                self._engine.step()

    async def __aiter__(self) -> AsyncIterator[str]:
        """The same, while others run: a step is computed in a thread."""
        while (piece := self._next()) is not None:
            if piece:
                yield piece
            else:
                await asyncio.to_thread(self._engine.step)

    def result(self) -> Completion:
        """The whole answer. Raises TriptychError for one that was cancelled, and what the model does."""
        while not self.done:
            if self.cancelled:
                raise TriptychError("the request was cancelled")
            self._engine.step()
        return self._events.completion(self._prompt)

    def cancel(self) -> None:
        """It is wanted no longer; nothing happens to one that is done."""
        if not self.done:
            self.cancelled = True
            self._engine._cancel(self._number)

    def _next(self) -> str | None:
        """A piece that was not read yet; '' when a step is needed for one, None at the end."""
        if self._read < len(self._pieces):
            self._read += 1
            return self._pieces[self._read - 1]
        return None if self.done or self.cancelled else ""
