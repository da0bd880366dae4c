"""What a request has been answered so far: tokens, text as it comes, and why it ended."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Literal

from triptych.inputs.detokenizer import Detokenizer
from triptych.inputs.tokenizer import Tokenizer
from triptych.runner.sampling import SamplingOptions
from triptych.runner.stop import StopStrings

FinishReason = Literal["stop", "length"]


class Answer:
    """Takes the tokens of one request one by one; `finish_reason` is set with the last.

    The pieces of text that `push` gives are together the whole. Unless `live`, or stop strings are looked for, the text
    is decoded once, with the last token.
    """

    def __init__(
        self,
        options: SamplingOptions,
        *,
        limit: int,
        end_ids: AbstractSet[int],
        tokenizer: Tokenizer | None,
        live: bool,
    ) -> None:
        self.token_ids: list[int] = []
        self.finish_reason: FinishReason | None = None
        self._limit = limit
        self._stop_ids = frozenset(options.stop_token_ids) | (frozenset() if options.ignore_eos else end_ids)
        self._tokenizer = tokenizer
        self._stop = StopStrings(options.stop)
        self._stream = Detokenizer(tokenizer) if tokenizer and (live or options.stop) else None

    def push(self, token: int) -> str:
        """Add a token -> the text that it lets show. A token that ends the answer is kept and has no text."""
        self.token_ids.append(token)
        if token in self._stop_ids:
            self.finish_reason = "stop"
            return self._rest(self.token_ids[:-1])
        piece = self._stop.push(self._stream.push(token)) if self._stream else ""
        if self._stop.found:
            self.finish_reason = "stop"
        elif len(self.token_ids) == self._limit:
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
