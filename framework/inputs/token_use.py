"""What a folder for late interaction says of rows of tokens beside its linear layers, and what of it is not served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from triptych.errors import Problem, short
from triptych.inputs.folder import read_json_if_any

TOKENS: Literal["token_embeddings"] = "token_embeddings"  # what the library calls the rows of tokens
PLAIN: tuple[object, ...] = (None, [], {}, False)
# File beside the steps -> keys by which rows are added, left out or summed otherwise.
CHANGED = {
    "sentence_bert_config.json": ("query_expansion", "query_length", "document_length"),
    "config_sentence_transformers.json": ("query_expansion", "query_length", "document_length", "skiplist_words"),
}
MASKED = ("skiplist_words", "keep_only_token_ids")
SCORED = ("maxsim", None)


def token_problems(folder: Path, *, mask: str | None, normalize: str | None) -> Iterator[Problem]:
    """What changes numbers and is not served; `mask` and `normalize` are the folders of these steps."""
    for name, keys in CHANGED.items():
        yield from _changed(folder / name, keys)
    if mask is not None:
        yield from _changed(folder / mask / "config.json", MASKED)
    if (
        scored := read_json_if_any(folder / "config_sentence_transformers.json").get("similarity_fn_name")
    ) not in SCORED:
        file = folder / "config_sentence_transformers.json"
        yield Problem(f"{file}: similarity_fn_name: {short(scored)} is not served; 'maxsim' is")
    if normalize is not None:
        file = folder / normalize / "config.json"
        if (rows := read_json_if_any(file).get("module_input_name")) != TOKENS:
            yield Problem(f"{file}: module_input_name: {TOKENS!r} is wanted; found {short(rows)}")


def _changed(file: Path, keys: tuple[str, ...]) -> Iterator[Problem]:
    said = read_json_if_any(file)
    for key in keys:
        if (value := said.get(key)) not in PLAIN:
            yield Problem(f"{file}: {key}: {short(value)} is not served")
