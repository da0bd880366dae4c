"""Answers of a given form: which tokens may come next, by JSON schema or regular expression.

The library is llguidance: it has no dependencies, gives a mask in tens of microseconds, and refuses by name what it
cannot follow of a schema. It is imported when a form is first asked for.
"""

# V vocabulary

from __future__ import annotations

import json
from collections.abc import Collection
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from triptych.errors import OptionError, TriptychError
from triptych.inputs.tokenizer import ByteTokenizer, TextTokenizer, Tokenizer
from triptych.runner.options import SamplingOptions

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

BYTES = 256
END = "<|the form ends|>"  # a token of our own: what ends an answer is not always among the tokenizer's
SPACE = r"[ \n]{0,12}"  # between the parts of a JSON text; without a bound some models write nothing else


class Grammars:
    """The forms of answers, for one tokenizer and a model of this many tokens."""

    def __init__(self, tokenizer: Tokenizer | None, *, vocab_size: int) -> None:
        self._tokenizer, self._vocab = tokenizer, vocab_size

    def of(self, options: SamplingOptions) -> Grammar | None:
        """The form that an answer has to have, None where that is free.

        Raises OptionError, with the reason, for a form that cannot be followed, and where the library is missing.
        """
        if not options.constrained:
            return None
        path = "regex" if options.json_schema is None else "json_schema"
        try:
            return Grammar(self._tokens, _started(self._tokens, options), vocab_size=self._vocab)
        except ImportError as error:
            message = "needs the package llguidance; pip install 'triptych[constrain]'"
            raise OptionError(message, path=path) from error
        except (ValueError, TypeError, RecursionError) as error:  # of the library, and of what is no JSON
            raise OptionError(f"cannot be followed: {_reason(error)}", path=path) from error

    @cached_property
    def _tokens(self) -> LLTokenizer:
        """The bytes of each token, and the token END, which is the last."""
        from llguidance import LLTokenizer
        from tokenizers import Tokenizer as Backend

        match self._tokenizer:
            case ByteTokenizer():
                return LLTokenizer(_Bytes(self._vocab))  # type: ignore[arg-type]  # typed as a class of its own
            case TextTokenizer(backend=backend):
                widened = Backend.from_str(backend.to_str())
                widened.add_special_tokens([END])
                return LLTokenizer(widened.to_str(), eos_token=widened.token_to_id(END))
        kind = "a tokenizer of another kind" if self._tokenizer else "no tokenizer"
        raise ValueError(f"the model has {kind}")


class Grammar:
    """A form. `start` follows it through one answer."""

    def __init__(self, tokens: LLTokenizer, matcher: LLMatcher, *, vocab_size: int) -> None:
        self._tokens, self._matcher, self._vocab = tokens, matcher, vocab_size

    def start(self, end_ids: Collection[int]) -> Form:
        """For an answer that these ids end."""
        ends = [token for token in end_ids if token < self._vocab]
        return Form(self._matcher.deep_copy(), vocab_size=self._vocab, end=self._tokens.eos_token, end_ids=ends)


class Form:
    """One answer as it grows. The ids that end it may come where it is whole, and nowhere else."""

    def __init__(self, matcher: LLMatcher, *, vocab_size: int, end: int, end_ids: Collection[int]) -> None:
        self._matcher, self._vocab, self._end, self._end_ids = matcher, vocab_size, end, [*end_ids]

    def allowed(self) -> Tensor:
        """Whether each token may come next, [V], bool."""
        listed = torch.frombuffer(bytearray(self._next()), dtype=torch.uint8).bool()
        found = torch.zeros(self._vocab, dtype=torch.bool)
        found[: len(listed)] = listed[: self._vocab]
        if self._end < self._vocab:
            found[self._end] = False  # a token that the model has and the tokenizer has not
        found[self._end_ids] = listed[self._end]
        return found

    def push(self, token: int) -> bool:
        """Take the next token, not one that ends the answer -> whether it is whole, and nothing can follow."""
        self._matcher.consume_token(token)
        self._check()
        return self._matcher.is_stopped() or (self._matcher.is_accepting() and not any(self._next()[: self._end]))

    def _next(self) -> bytes:
        """A byte for each token up to END, 0 where it may not come."""
        found = self._matcher.compute_logit_bias()
        self._check()
        return found

    def _check(self) -> None:
        if self._matcher.is_error():
            raise TriptychError(f"an answer of this form cannot be followed: {_reason(self._matcher.get_error())}")


class _Bytes:
    """What the library asks of a tokenizer, of one whose first tokens are the bytes and whose others have no text."""

    def __init__(self, vocab_size: int) -> None:
        others = [b"<|%d|>" % token for token in range(BYTES, vocab_size)]
        self.tokens = [*(bytes([value]) for value in range(BYTES)), *others, END.encode()]
        self.special_token_ids = [*range(BYTES, len(self.tokens))]
        self.eos_token_id, self.bos_token_id = vocab_size, None
        self.is_tokenizer_wrapper = True

    def __call__(self, text: str | bytes) -> list[int]:
        return [*(text.encode() if isinstance(text, str) else text)]


def _started(tokens: LLTokenizer, options: SamplingOptions) -> LLMatcher:
    """Where an answer begins. Raises ValueError for a form that the library refuses, or that is empty."""
    from llguidance import LLMatcher

    if options.regex is not None:
        written = LLMatcher.grammar_from_regex(options.regex)
    else:
        written = LLMatcher.grammar_from_json_schema(json.dumps(options.json_schema), {"whitespace_pattern": SPACE})
    matcher = LLMatcher(tokens, written, log_level=0)
    if matcher.is_error():
        raise ValueError(matcher.get_error())
    if not any(matcher.compute_logit_bias()[: tokens.eos_token]):
        raise ValueError("no token can begin it")
    return matcher


def _reason(error: object) -> str:
    """The line that tells it, of a message that shows the place in several."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = next((line for line in lines if line.startswith("error: ")), lines[0] if lines else "")
    return told.removeprefix("error: ")
