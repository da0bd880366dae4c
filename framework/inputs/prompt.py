"""Prompts: token ids, and the items whose rows take the places of some of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import index

from triptych.errors import InputError, InputTypeError, Problem, short
from triptych.inputs.around import mark_of, written_around
from triptych.inputs.items import MultiModalFeatureSpec
from triptych.inputs.tokenizer import Tokenizer
from triptych.spec.tokens import TokenRule

NOUNS = {"audio": "sound"}  # of modalities that are no nouns that can be counted


@dataclass(frozen=True)
class Prompt:
    """What a request gives the model: token ids, and the items in the order in which their places stand.

    `sources` are items beside it, whose rows a decoder looks at. `types` say of which text of a pair each id is. Rows
    of one of the `blocks` see each other both ways, where others see what came before them; all of it is computed in
    one step.
    """

    token_ids: tuple[int, ...]
    features: tuple[MultiModalFeatureSpec, ...] = ()
    types: tuple[int, ...] = ()  # one per token id, or none when all are of one text
    blocks: tuple[range, ...] = ()
    sources: tuple[MultiModalFeatureSpec, ...] = ()

    def item_rows(self) -> list[bool]:
        """Which of the ids are rows of items."""
        found = [False] * len(self.token_ids)
        for rows in self.item_ranges():
            found[rows.start : rows.stop] = [True] * len(rows)
        return found

    def item_ranges(self) -> tuple[range, ...]:
        """Where rows of items stand one after the other, in the order of the prompt."""
        spans = (feature.mm_position.extract_embeds_range() for feature in self.features)
        return tuple(range(first, last + 1) for first, last in sorted(chain.from_iterable(spans)))


def as_token_ids(prompt: object) -> list[int]:
    """Token ids as users give them: whole numbers in a list, an array or a tensor. Raises InputTypeError for others."""
    try:
        if isinstance(prompt, Iterable) and not isinstance(prompt, str | bytes | Mapping):
            return [index(token) for token in prompt]
    except TypeError:
        pass  # not all of them are whole numbers
    raise InputTypeError(f"a text or a list of token ids is needed, not {short(prompt)}", path="prompt")


def encode_text(
    text: str,
    encode: Callable[[str], list[int]],
    tokenizer: Tokenizer,
    rules: Sequence[TokenRule],
) -> list[int]:
    """Token ids of a text, by one of the two ways of its tokenizer, in which every target is the single id of its rule.

    Usually the target is a token of its own. Where the tokenizer does not know it, the text is cut there and its pieces
    are encoded one by one. What a rule puts around its placeholders is written into the text, of which it becomes a
    part, unless placeholders are written there already.
    """
    marks = {rule: mark_of(rule, tokenizer) for rule in rules}
    for rule, mark in marks.items():
        if mark != rule.target and mark not in text:
            text = written_around(text, rule, mark)
    tokens = {rule: tokenizer.token_id(mark) for rule, mark in marks.items() if mark in text}
    placeholders = {token: rule.single for rule, token in tokens.items() if token is not None}
    cut = {marks[rule]: rule.single for rule, token in tokens.items() if token is None}
    first, *others = re.split(f"({'|'.join(map(re.escape, cut))})", text) if cut else [text]
    rest = ([cut[target], *(tokenizer.encode_bare(piece) if piece else ())] for target, piece in _pairs(others))
    found = [*encode(first), *chain.from_iterable(rest)]
    return [placeholders.get(token, token) for token in found]


def _pairs(pieces: Sequence[str]) -> list[tuple[str, str]]:
    return list(zip(pieces[::2], pieces[1::2], strict=True))


def in_front(text: str, targets: Mapping[str, str], counts: Mapping[str, int], *, between: str = "\n") -> str:
    """The text with a target for each item before it, as a chat turn has them, but those that it has already."""
    lacking = {m: count for m, count in counts.items() if m in targets and targets[m] not in text}
    written = "".join(targets[modality] * count for modality, count in lacking.items())
    return f"{written}{between}{text}" if written else text


def check_taken(items: Mapping[str, object]) -> None:
    """Raise InputError when there are items, for a model that takes none."""
    if counts := {m: len(given) if isinstance(given, list | tuple) else 1 for m, given in items.items()}:
        words = {NOUNS.get(modality, modality): count for modality, count in counts.items()}
        given = " and ".join(_several(count, noun) for noun, count in words.items())
        raise InputError(
            f"{given} given, and this model takes none; leave the {' and '.join(f'{noun}s' for noun in words)} out"
        )


def check_placeholders(
    rules: Mapping[str, TokenRule], *, items: Mapping[str, Sequence[int]], found: Mapping[str, Sequence[int]]
) -> None:
    """Raise InputError, with both counts, where placeholders and items do not fit together.

    `items` are the rows of each item, `found` where placeholders stand among the tokens: one for each item, or already
    one for each row. Where they seem to be the latter, the first item is told that has others than it takes.
    """
    wrong = [m for m in rules if len(found[m]) not in (len(items[m]), sum(items[m]))]
    if wrong:
        raise InputError(Problem(_mismatch(found[m], items[m], m, rules[m].target)) for m in wrong)


def whole_of_one(
    found: Mapping[str, Sequence[int]], rules: Mapping[str, TokenRule], rows: Mapping[str, Sequence[int]]
) -> dict[str, Sequence[int]]:
    """Where placeholders stand; those that two modalities have are the later one's that has items, not the other.

    That is so where another processor wrote one for each row, by which it does not say whose they are.
    """
    given = dict(found)
    for m, rule in rules.items():
        first = next(name for name, other in rules.items() if other.placeholder == rule.placeholder)
        if rows[m] and not rows[first] and not found[m] and len(found[first]) == sum(rows[m]):
            given |= {m: found[first], first: ()}
    return given


def _mismatch(places: Sequence[int], rows: Sequence[int], modality: str, target: str) -> str:
    placeholders, items = len(places), len(rows)
    needed = f"the prompt has {_several(placeholders, 'placeholder')} ({target}) for {_several(items, modality)}"
    runs = _runs(places)
    if rows and max(map(len, runs), default=0) > items:  # some other processor wrote one for each row
        return f"{needed}, which take {sum(rows)}; {_first_difference(runs, rows, modality)}"
    if placeholders > items:
        return f"{needed}; give {_several(placeholders - items, f'more {modality}')}, or take placeholders out"
    return f"{needed}; write {target} where each {modality} belongs, or give fewer {modality}s"


def _runs(places: Sequence[int]) -> list[list[int]]:
    """Places that stand one after the other."""
    runs: list[list[int]] = []
    for place in places:
        if runs and runs[-1][-1] + 1 == place:
            runs[-1].append(place)
        else:
            runs.append([place])
    return runs


def _first_difference(runs: Sequence[Sequence[int]], rows: Sequence[int], modality: str) -> str:
    """The first item that has another number of places than it takes, and the token from which on that shows.

    A run is an item's; where there are fewer runs than items, several stand in one.
    """
    apart, rest = len(runs) == len(rows), [[*run] for run in runs]
    for item, wanted in enumerate(rows):
        run = rest.pop(0) if rest else []
        if len(run) < wanted or (apart and len(run) > wanted):
            place = f", as token {run[0] + min(len(run), wanted)} shows first" if run else ""
            return f"{modality}[{item}] takes {wanted} and has {len(run)}{place}"
        if len(run) > wanted:
            rest.insert(0, run[wanted:])
    return f"from token {rest[0][0]} on there are {sum(map(len, rest))} that no {modality} takes"


def _several(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
