"""Requests that come one by one, answered together: submit, stream, cancel."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Unpack

from triptych.arguments import check_arguments
from triptych.errors import InputError, TriptychError
from triptych.inputs.images import ImageInput
from triptych.runner.checks import check_options, check_prompts, check_whole_items
from triptych.runner.engine import Engine as Runner
from triptych.runner.entry import Entry
from triptych.runner.failures import fresh
from triptych.runner.profile import with_room
from triptych.runner.request import ENCODED, RunOptions, check_counts
from triptych.runner.sizes import ON_HOST, Sizes, length_of
from triptych.runner.staged import Staged
from triptych.tasks.completion import Completion, GenerateOptions, completed
from triptych.tasks.model import Model
from triptych.tasks.prompts import Prompt, Sounds, Videos, is_single


class Engine:
    """Answers requests as they come, many in one step, in a cache of a size that is fixed when it is made.

    `kv_cache_memory` are the bytes of the cache; without it what is free beside the largest step may be taken. A
    request has at most `max_model_len` tokens, prompt and answer; without it, as many as the model takes. At most
    `max_num_seqs` run at a time, the others wait; a step has at most `max_num_batched_tokens` tokens.
    `encoder_cache_memory` bytes of encoded images are kept, of the last one at least. Raises OptionError for numbers
    that are none, and when the memory does not hold one request, with what would fit. With `overlap` a step begins
    before the tokens of the last one are known; left out, it does so on an accelerator. With `graphs` steps in which
    requests only write are recorded as CUDA graphs, and replayed; left out, that is so on CUDA.

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
        encoder_cache_memory: int = ENCODED,
        overlap: bool | None = None,
        graphs: bool | None = None,
    ) -> None:
        check_arguments(
            model=(model, Model),
            kv_cache_memory=(kv_cache_memory, int | None),
            max_model_len=(max_model_len, int | None),
            max_num_seqs=(max_num_seqs, int),
            max_num_batched_tokens=(max_num_batched_tokens, int),
            encoder_cache_memory=(encoder_cache_memory, int),
            overlap=(overlap, bool | None),
            graphs=(graphs, bool | None),
        )
        check_counts(
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=max_num_batched_tokens,
            encoder_cache_memory=encoder_cache_memory,
        )
        run = RunOptions(
            device=model.device,
            dtype=model.dtype,
            max_batch=max_num_seqs,
            cache_bytes=kv_cache_memory,
            max_num_batched_tokens=max_num_batched_tokens,
            encoder_cache_bytes=encoder_cache_memory,
            overlap=overlap,
            graphs=graphs,
            kernels=model.kernels,
        )
        if isinstance(model.runs, Staged):
            run = model.runs.agreed(run, most=ON_HOST if run.device.type == "cpu" else None)
        else:
            longest = length_of(model.runs, max_model_len)
            run = with_room(model.runs, run, longest=longest, processor=model.processor)
        self._model, self._tokens = model, run.max_num_batched_tokens
        self._sizes = Sizes.for_any(model.runs, run, longest=max_model_len)
        self._runner = Runner(
            model.runs, sizes=self._sizes, run=run, tokenizer=model.tokenizer, end_ids=model.end_ids, live=True
        )
        self._news: deque[Entry | int] = deque()  # requests that came, and numbers of those wanted no longer
        self._lock = threading.Lock()
        self._failure: BaseException | None = None

    def submit(
        self,
        prompt: Prompt,
        images: ImageInput | Sequence[ImageInput] | None = None,
        *,
        videos: Videos | None = None,
        sounds: Sounds | None = None,
        raw: bool = False,
        **options: Unpack[GenerateOptions],
    ) -> Answering:
        """A request waits for its turn; prompt, items and options are those of `Model.generate`.

        Raises InputError and OptionError with all that is wrong with it; others are not touched.
        """
        if not is_single(prompt):
            raise InputError("submit takes one prompt, a text or token ids", path="prompt")
        (request,) = self._model.requests(prompt, images, videos=videos, sounds=sounds, raw=raw, **options)
        check_prompts(self._model.module, [request.prompt], longest=self._sizes.longest)
        check_options(self._model.module, [request.options])
        check_whole_items(self._model.runs, [request.prompt], tokens=self._tokens, layout=self._sizes.layout)
        self._check_runs()
        entry = self._runner.entry(request)
        self._news.append(entry)
        return Answering(self, entry)

    def run(self) -> None:
        """Answer everything that waits. What fails is told by the answer that it concerns."""
        while self._news or self._runner.busy:
            self.step()

    def step(self) -> None:
        """One step for all, whoever asks for it.

        What fails ends the requests that it concerns. After an interruption, as by Ctrl-C, the next step begins what
        ran again; no token is lost. A model in stages goes on after neither: its processes would part.
        """
        with self._lock:
            self._check_runs()
            try:
                self._settle()
                self._runner.step()
            except BaseException as error:
                if isinstance(self._model.runs, Staged):
                    self._failure = error
                raise

    def _settle(self) -> None:
        """See to the news: one is forgotten when it is done, and nothing happens to one that is done twice."""
        while self._news:
            match self._news[0]:
                case int() as number:
                    self._runner.cancel(number)
                case entry:
                    self._runner.admit(entry)
            self._news.popleft()

    def _check_runs(self) -> None:
        if self._failure is not None:
            message = "the engine ended with an error, and answers nothing more; make a new one"
            raise TriptychError(message) from self._failure


class Answering:
    """One request's answer as it comes: iterate over it, or `async for`, for its text; `result()` is the whole."""

    def __init__(self, engine: Engine, entry: Entry) -> None:
        self._engine, self._number, self._log = engine, entry.number, entry.log
        self._prompt, self._read = entry.request.prompt.token_ids, 0

    @property
    def done(self) -> bool:
        """Whether it has ended, with its last token or with an error."""
        return self._log.is_whole or self._log.error is not None

    @property
    def cancelled(self) -> bool:
        """Whether it was wanted no longer before it was done."""
        return self._log.cancelled

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
        """The whole answer. Raises TriptychError for one that was cancelled, and its own error for one that failed."""
        while not self._log.ended:
            self._engine.step()
        self._check()
        if not self._log.is_whole:
            raise TriptychError("the request was cancelled")
        return completed(self._log.events, self._prompt)

    def cancel(self) -> None:
        """It is wanted no longer; nothing happens to one that is done. Its room is free with the next step."""
        if not self._log.ended:
            self._log.cancelled = True
            self._engine._news.append(self._number)

    def _next(self) -> str | None:
        """A piece that was not read yet; '' when a step is needed for one, None at the end. Raises its error there."""
        while self._read < len(self._log.events):
            self._read += 1
            if piece := self._log.events[self._read - 1].text:
                return piece
        self._check()
        return None if self._log.ended else ""

    def _check(self) -> None:
        if self._log.error is not None:
            raise fresh(self._log.error)
