"""What a request has been answered so far: tokens, text as it comes, and why it ended."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Literal

from triptych.inputs.detokenizer import Detokenizer
from triptych.inputs.tokenizer import Tokenizer
from triptych.runner.grammar import Form
from triptych.runner.options import SamplingOptions
from triptych.runner.stop import StopStrings
from triptych.runner.transcript import TranscriptForm

FinishReason = Literal["stop", "length"]


class Answer:
    """Takes the tokens of one request one by one; `finish_reason` is set with the last.

    The pieces of text that `push` gives are together the whole. Unless `live`, or stop strings are looked for, the text
    is decoded once, with the last token. A `form` is told of the tokens, and ends the answer when it is whole.
    """

    def __init__(
        self,
        options: SamplingOptions,
        *,
        limit: int,
        end_ids: AbstractSet[int],
        tokenizer: Tokenizer | None,
        live: bool,
        form: Form | TranscriptForm | None = None,
    ) -> None:
        self.token_ids: list[int] = []
        self.finish_reason: FinishReason | None = None
        self.limit, self._least = limit, options.min_tokens
        self._stop_ids = options.ends(end_ids)
        self._tokenizer, self._form = tokenizer, form
        self._stop = StopStrings(options.stop)
        self._stream = Detokenizer(tokenizer) if tokenizer and (live or options.stop) else None

    def push(self, token: int) -> str:
        """Add a token -> the text that it lets show. A token that ends the answer is kept and has no text."""
        self.token_ids.append(token)
        if token in self._stop_ids:
            self.finish_reason = "stop"
            return self._rest(self.token_ids[:-1])
        too_early = len(self.token_ids) < self._least
        piece = self._stop.push(self._stream.push(token), too_early=too_early) if self._stream else ""
        is_whole = self._form is not None and self._form.push(token)
        if self._stop.found:
            self.finish_reason = "stop"
        elif is_whole:
            self.finish_reason = "stop"
            piece += self._rest(self.token_ids)
        elif len(self.token_ids) == self.limit:
            self.finish_reason = "length"
            piece += self._rest(self.token_ids)
        return piece

    def _rest(self, token_ids: list[int]) -> str:
        if self._stream:
            return self._flushed(self._stream)
        return self._tokenizer.decode(token_ids) if self._tokenizer else ""

    def _flushed(self, stream: Detokenizer) -> str:
        """What was held back. A stop string can still show in it: the answer then ends there, and by it."""
        text = self._stop.push(stream.flush())
        if self._stop.found:
            self.finish_reason = "stop"
        return text + self._stop.flush()
