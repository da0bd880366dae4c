"""Texts and pairs of texts as a pooler takes them."""

from __future__ import annotations

from collections.abc import Sequence

from triptych.errors import InputError
from triptych.inputs.prompt import Prompt as ReadPrompt
from triptych.inputs.reader import PromptReader
from triptych.inputs.sentence import SentenceUse
from triptych.tasks.prompts import Prompt, Prompts, paired, read_each


def read_texts(
    texts: Prompts,
    pairs: str | Sequence[str] | None,
    *,
    reader: PromptReader,
    use: SentenceUse,
    prompt: str | None = None,
) -> list[ReadPrompt]:
    """Each text after its prompt, beside its pair, and cut where it would be too long; token ids as they are.

    Raises InputError that names every text with a mistake, by its number.
    """
    listed = [text for text, _ in paired(texts, None)]
    others = [None] * len(listed) if pairs is None else [pairs] if isinstance(pairs, str) else list(pairs)
    both = [*listed, *others] if pairs is not None else []
    if len(others) != len(listed) or not all(isinstance(text, str) for text in both):
        raise InputError(f"{len(listed)} texts take as many others, each a text too", path="pairs")

    def read(text: Prompt, pair: str | None) -> ReadPrompt:
        if not isinstance(text, str) or reader.tokenizer is None:
            return reader.read(text, raw=True)
        ids, types = reader.tokenizer.encode_cut(use.written(text, prompt), pair, use.longest)
        return ReadPrompt(tuple(ids), types=tuple(types) if pair is not None else ())

    return read_each(list(zip(listed, others, strict=True)), read)
