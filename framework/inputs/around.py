"""Texts around the placeholders of an item: as a part of a prompt's text, and among its token ids.

A writer's processor puts them into the text before it is encoded, so that tokens may reach over their edges: two
newlines beside one that is written are a token of three.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from triptych.inputs.tokenizer import Tokenizer
from triptych.spec.tokens import TokenRule

UNWRITTEN = "\N{INVISIBLE SEPARATOR}" * 5  # a text that nobody writes


def mark_of(rule: TokenRule, tokenizer: Tokenizer) -> str:
    """What stands for an item while a text is encoded: the target, unless other text is put around the placeholders.

    Then it is the placeholder as text, where the tokenizer has it as a token, since the target may stand in that text.
    """
    if not rule.before + rule.after:
        return rule.target
    own = tokenizer.decode_whole([rule.placeholder])
    return own if tokenizer.token_id(own) == rule.placeholder else UNWRITTEN


def with_around(token_ids: Sequence[int], tokenizer: Tokenizer, rules: Sequence[TokenRule]) -> list[int]:
    """Token ids in which each target of a rule that puts text around its placeholders has become that and one of these.

    Where there are placeholders already they are as they were.
    """
    found = [*token_ids]
    for rule in rules:
        target = tokenizer.token_id(rule.target)
        if rule.before + rule.after and rule.placeholder not in found and target in found:
            around = *tokenizer.encode_bare(rule.before), rule.placeholder, *tokenizer.encode_bare(rule.after)
            found = [*chain.from_iterable(around if token == target else (token,) for token in found)]
    return found


def stands_around(token_ids: Sequence[int], tokenizer: Tokenizer, rule: TokenRule) -> bool:
    """Whether every placeholder has the text of its rule around it already, by the tokens next to it."""
    before, after = (tokenizer.encode_bare(text) if text else [] for text in (rule.before, rule.after))
    beside = [
        (token_ids[max(0, at - 1) : at], token_ids[at + 1 : at + 2])
        for at, token in enumerate(token_ids)
        if token == rule.placeholder
    ]
    fits = ((not before or [*left] == before[-1:]) and (not after or [*right] == after[:1]) for left, right in beside)
    return bool(before or after) and all(fits)
