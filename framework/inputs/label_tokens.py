"""Tokens that are labels of a classifier: a config names them by text or by id, and a model is built by ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triptych.errors import InputError, Problem, short
from triptych.inputs.tokenizer import Tokenizer
from triptych.spec.classifier import TOKENS


def with_label_ids(config: Mapping[str, Any], tokenizer: Tokenizer | None) -> Mapping[str, Any]:
    """The config with the id of each token that it names by text: one of the vocabulary, else what the text encodes to.

    Raises InputError with every text that is not one token.
    """
    given = config.get(TOKENS)
    if not isinstance(given, list | tuple) or not any(isinstance(token, str) for token in given):
        return config
    if tokenizer is None:
        raise InputError(f"{short(given)}: this checkpoint has no tokenizer to look texts up in; give ids", path=TOKENS)
    found = [_ids(token, tokenizer) if isinstance(token, str) else [token] for token in given]
    pairs = zip(given, found, strict=True)
    if wrong := [
        f"{token!r} is {len(ids)} tokens {short(ids)}; one is wanted" for token, ids in pairs if len(ids) != 1
    ]:
        raise InputError(Problem(message, TOKENS) for message in wrong)
    return {**config, TOKENS: [ids[0] for ids in found]}


def _ids(text: str, tokenizer: Tokenizer) -> list[int]:
    named = tokenizer.token_id(text)
    return tokenizer.encode_bare(text) if named is None else [named]
