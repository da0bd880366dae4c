"""Texts around the placeholders of an item: as a part of a prompt's text, and among its token ids.

A writer's processor puts them into the text before it is encoded, so that tokens may reach over their edges: two
newlines beside one that is written are a token of three.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, repeat

from triptych.inputs.tokenizer import Tokenizer
from triptych.spec.tokens import TokenRule

UNWRITTEN = "\N{INVISIBLE SEPARATOR}" * 5  # a text that nobody writes


def mark_of(rule: TokenRule, tokenizer: Tokenizer) -> str:
    """What stands for an item while a text is encoded: the target, unless other text is put around the placeholders.

    Then it is the placeholder as text, where the tokenizer has it as a token, and it is that of no other modality: the
    target may stand in that text.
    """
    if not rule.before + rule.after:
        return rule.target
    if rule.apart is not None:
        return f"{UNWRITTEN}{rule.target}{UNWRITTEN}"
    own = tokenizer.decode_whole([rule.placeholder])
    return own if tokenizer.token_id(own) == rule.placeholder else UNWRITTEN


Around = tuple[Sequence[int], Sequence[int]]


def written_around(text: str, rule: TokenRule, mark: str, edges: Iterable[tuple[str, str]] = ()) -> str:
    """A text in which each target has become `mark` between the texts of its item, `edges`; past the last of these
    between those of the rule.
    """
    first, *rest = text.split(rule.target)
    pairs = chain(edges, repeat((rule.before, rule.after)))
    return first + "".join(f"{before}{mark}{after}{piece}" for (before, after), piece in zip(pairs, rest, strict=False))


def with_around(token_ids: list[int], tokenizer: Tokenizer, rule: TokenRule, edges: Iterable[Around]) -> list[int]:
    """Token ids in which each target of a rule that puts text around its placeholders has become one of these between
    the tokens of its item; those of the rule past the last.

    Where there are placeholders already they are as they were.
    """
    target = tokenizer.token_id(rule.target)
    if not rule.before + rule.after or rule.placeholder in token_ids or target not in token_ids:
        return token_ids
    pairs = chain(edges, repeat((tokenizer.encode_bare(rule.before), tokenizer.encode_bare(rule.after))))
    found = list[int]()
    for token in token_ids:
        if token == target:
            before, after = next(pairs)
            found += [*before, rule.single, *after]
        else:
            found.append(token)
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
