"""Prompts with images: each placeholder in the token ids becomes as many ids as its image has rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from triptych.errors import InputError
from triptych.inputs.images import Picture
from triptych.inputs.tokenizer import Tokenizer
from triptych.spec.tokens import TokenRule


@dataclass(frozen=True)
class Prompt:
    """What a request gives the model: token ids, images in their order, and which of the ids are rows of an image.

    `types` say of which text of a pair each id is.
    """

    token_ids: tuple[int, ...]
    pictures: tuple[Picture, ...] = ()
    image_rows: tuple[bool, ...] = ()  # one per token id, or none when there are no images
    types: tuple[int, ...] = ()  # one per token id, or none when all are of one text


def encode_text(
    text: str, encode: Callable[[str], list[int]], tokenizer: Tokenizer, rule: TokenRule | None
) -> list[int]:
    """Token ids of a text, by one of the two ways of its tokenizer, in which every target is one placeholder id.

    Usually the target is a token of its own. Where the tokenizer does not know it, the text is cut there and its pieces
    are encoded one by one.
    """
    if rule is None or rule.target not in text:
        return encode(text)
    if (token := tokenizer.token_id(rule.target)) is not None:
        return [rule.placeholder if i == token else i for i in encode(text)]
    first, *others = text.split(rule.target)
    rest = ([rule.placeholder, *(tokenizer.encode_bare(other) if other else ())] for other in others)
    return [*encode(first), *chain.from_iterable(rest)]


def in_front(text: str, rule: TokenRule, images: int) -> str:
    """The text with a target for each image before it, as a chat turn has them; unchanged when it has one already."""
    return text if not images or rule.target in text else f"{rule.target * images}\n{text}"


def expand(
    token_ids: Sequence[int], pictures: Sequence[Picture], rule: TokenRule | None, processor: Mapping[str, Any]
) -> Prompt:
    """The prompt with one placeholder per row of each image, instead of one per image.

    Ids that hold the whole number of rows already (a processor made them) stay as they are. Raises InputError, with
    both counts, when images and placeholders do not fit together, and for images to a model that takes none.
    """
    check_taken(rule, len(pictures))
    if rule is None:
        return Prompt(tuple(token_ids))
    rows = [rule.count(picture.height, picture.width, processor) for picture in pictures]
    found = sum(token == rule.placeholder for token in token_ids)
    if found != len(rows) and found != sum(rows):
        raise InputError(_mismatch(found, len(rows), rule))
    if not pictures:
        return Prompt(tuple(token_ids))
    counts = iter(rows if found == len(rows) else [1] * found)
    ids = [*chain.from_iterable([i] * next(counts) if i == rule.placeholder else [i] for i in token_ids)]
    return Prompt(tuple(ids), tuple(pictures), tuple(i == rule.placeholder for i in ids))


def check_taken(rule: TokenRule | None, images: int) -> None:
    """Raise InputError when there are images and the model takes none."""
    if rule is None and images:
        raise InputError(f"{_several(images, 'image')} given, and this model takes none; leave the images out")


def _mismatch(placeholders: int, images: int, rule: TokenRule) -> str:
    needed = f"the prompt has {_several(placeholders, 'placeholder')} ({rule.target}) for {_several(images, 'image')}"
    if placeholders > images:
        return f"{needed}; give {_several(placeholders - images, 'more image')}, or take placeholders out"
    return f"{needed}; write {rule.target} where each image belongs, or give fewer images"


def _several(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
