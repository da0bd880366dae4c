"""A checkpoint folder as it is to be used: found or fetched, its config with what the caller says, its tokenizer."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from triptych.errors import CheckpointError, InputTypeError, short
from triptych.inputs.label_tokens import with_label_ids
from triptych.inputs.sentence import SentenceUse, load_sentence_use
from triptych.inputs.tokenizer import Tokenizer, load_tokenizer
from triptych.registry import spec_files
from triptych.spec.catalog import own_spec
from triptych.spec.classifier import METHOD, TOKENS, Method
from triptych.weights import Checkpoint, Stored

HUB_FILES = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")  # no pickle and no code

Folder = str | os.PathLike[str]
Conversion = Literal["embed", "classify", "token_embed", "token_classify"]


@dataclass(frozen=True)
class Source:
    """A folder that a model is loaded from. `config` names tokens that are labels as they were given."""

    checkpoint: Checkpoint
    config: Mapping[str, Any]
    tokenizer: Tokenizer | None
    sentences: SentenceUse

    @property
    def folder(self) -> Path:
        return self.checkpoint.folder

    @property
    def spec(self) -> str | None:
        """The path of the spec that the folder brings; None where its config chooses one."""
        return own_spec(self.folder)

    @property
    def tensors(self) -> Mapping[str, Stored]:
        """Those of the checkpoint, and of the pooler where that has files of its own."""
        return {**self.checkpoint.tensors, **self.sentences.tensors}

    def converted(self, convert: Conversion | None) -> Source:
        """As it is for one use: what the folder says of a pooler is for embeddings, of numbers for a classifier."""
        sentences = (
            self.sentences if convert == self.sentences.conversion else replace(self.sentences, pooler=None, tensors={})
        )
        if self.sentences.activation is None or convert in ("embed", "token_embed"):
            return replace(self, sentences=sentences)
        config = {**self.config, "label_activation": self.sentences.activation}
        return replace(self, sentences=sentences, config=config)

    @property
    def conversion(self) -> Conversion | None:
        """What the folder is for, where it says so."""
        if (said := self.sentences.conversion) is not None:
            return said
        return "classify" if self.config.get(TOKENS) is not None else None

    def with_label_ids(self) -> Mapping[str, Any]:
        """The config with ids for tokens that are labels. Raises InputError with every text that is not one token."""
        return with_label_ids(self.config, self.tokenizer)


def read_source(folder: Folder, *, tokens: Sequence[str | int] | None = None, method: Method | None = None) -> Source:
    """A folder, or a hub id whose files are fetched first; `tokens` and `method` go before what its config says.

    Raises CheckpointError when there is neither, and for files that cannot be used.
    """
    checkpoint = Checkpoint(fetched(folder))
    said = {key: value for key, value in ((TOKENS, tokens), (METHOD, method)) if value is not None}
    sentences = load_sentence_use(checkpoint.folder) or SentenceUse()
    return Source(checkpoint, {**checkpoint.config, **said}, load_tokenizer(checkpoint.folder), sentences)


def fetched(folder: Folder) -> Path:
    """The folder itself, or that to which the files of a hub id were fetched. Raises CheckpointError for neither."""
    if not isinstance(folder, str | os.PathLike):
        raise InputTypeError(f"a checkpoint folder or a hub id is needed, not {short(folder)}", path="folder")
    path = Path(folder)
    if not path.exists() and str(folder) in spec_files():
        raise CheckpointError(
            f"{folder} is a spec, and no such folder is here; random_init (--random-init) tries a spec"
        )
    if path.is_dir() or not _is_hub_id(str(folder)):
        return path
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(folder), allow_patterns=[*HUB_FILES]))
    except Exception as error:  # no network, no such model, no right to it, no room on the disk, ...
        raise CheckpointError(f"{folder}: no such folder, and the hub does not give it: {error}") from error


def _is_hub_id(name: str) -> bool:
    owner, slash, model = name.partition("/")
    return bool(slash and owner and model) and "/" not in model and not name.startswith((".", "~")) and "\\" not in name
