"""Text <-> token ids, by the files of a checkpoint folder.

A folder with `tokenizer.json` or `tekken.json` needs the library `tokenizers` alone. Other formats (sentencepiece's
`tokenizer.model`, `vocab.json` with `merges.txt`) go through transformers, which is imported only then, and runs no
code of the folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from tokenizers import AddedToken, Encoding
from tokenizers import Tokenizer as Backend

from triptych.errors import CheckpointError, InputError
from triptych.inputs.folder import read_json_if_any

NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
OTHER_FORMATS = ("tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "sentencepiece.bpe.model")


class Tokenizer(Protocol):
    """What the rest of triptych asks of a tokenizer."""

    @property
    def named(self) -> Mapping[str, str]:
        """Special tokens by role (`bos_token`, `eos_token`, ...): what chat templates see."""

    def encode(self, text: str) -> list[int]:
        """Token ids with those that the tokenizer adds to a plain text (a begin token, say)."""

    def encode_cut(self, text: str, pair: str | None, longest: int | None) -> tuple[list[int], list[int]]:
        """Ids of a text, or of a pair of texts, and of which of the two each is: 0 or 1.

        As `encode`, ends of long texts left out, of the longer first, so that `longest` ids hold all.
        """

    def encode_bare(self, text: str) -> list[int]:
        """Token ids of the text alone, as for a rendered chat, which writes its special tokens itself."""

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text without special tokens; ids that the tokenizer does not have give nothing."""

    def decode_whole(self, token_ids: Sequence[int]) -> str:
        """Text with special tokens as they are written: what `encode_bare` reads them from."""

    def token_id(self, token: str) -> int | None:
        """The id of one token, or None."""


class TextTokenizer:
    """A tokenizer of the library `tokenizers`, with the special tokens that the folder's config names."""

    def __init__(self, backend: Backend, *, named: Mapping[str, str]) -> None:
        backend.no_truncation()
        backend.no_padding()
        self.backend = backend
        self.named = dict(named)

    def encode(self, text: str) -> list[int]:
        return self._encode(text, add_special_tokens=True)

    def encode_cut(self, text: str, pair: str | None, longest: int | None) -> tuple[list[int], list[int]]:
        texts = [text] if pair is None else [text, pair]
        found = [self._encoding(each, add_special_tokens=False) for each in texts]
        if longest is not None:
            room = max(0, longest - self.backend.num_special_tokens_to_add(is_pair=pair is not None))
            for encoding, length in zip(found, _shortened([len(e.ids) for e in found], room), strict=True):
                encoding.truncate(length)
        whole = self.backend.post_process(found[0], found[1] if pair is not None else None)
        return whole.ids, whole.type_ids

    def encode_bare(self, text: str) -> list[int]:
        return self._encode(text, add_special_tokens=False)

    def decode(self, token_ids: Sequence[int]) -> str:
        return self.backend.decode(list(token_ids), skip_special_tokens=True)

    def decode_whole(self, token_ids: Sequence[int]) -> str:
        return self.backend.decode(list(token_ids), skip_special_tokens=False)

    def token_id(self, token: str) -> int | None:
        return self.backend.token_to_id(token)

    def _encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return self._encoding(text, add_special_tokens=add_special_tokens).ids

    def _encoding(self, text: str, *, add_special_tokens: bool) -> Encoding:
        _check_text(text)
        return self.backend.encode(text, add_special_tokens=add_special_tokens)


class ByteTokenizer:
    """A text as its UTF-8 bytes, for models that have no tokenizer (random weights): needs 256 tokens or more.

    Ids from 256 on stand for no byte; they decode to U+FFFD, as do bytes that are no UTF-8.
    """

    named: Mapping[str, str] = {}

    def __init__(self, vocab_size: int) -> None:
        if vocab_size < 256:
            raise InputError(f"text as bytes needs 256 tokens, and this model has {vocab_size}; give token ids")

    def encode(self, text: str) -> list[int]:
        return self.encode_bare(text)

    def encode_cut(self, text: str, pair: str | None, longest: int | None) -> tuple[list[int], list[int]]:
        texts = [self.encode(each) for each in (text, pair) if each is not None]
        if longest is not None:
            texts = [t[:n] for t, n in zip(texts, _shortened([*map(len, texts)], longest), strict=True)]
        return [*chain(*texts)], [number for number, ids in enumerate(texts) for _ in ids]

    def encode_bare(self, text: str) -> list[int]:
        _check_text(text)
        return list(text.encode("utf-8"))

    def decode(self, token_ids: Sequence[int]) -> str:
        # 0xFF occurs in no UTF-8 text, so it decodes to U+FFFD by itself
        return bytes(token if token < 256 else 0xFF for token in token_ids).decode("utf-8", "replace")

    def decode_whole(self, token_ids: Sequence[int]) -> str:
        return self.decode(token_ids)

    def token_id(self, token: str) -> int | None:
        """None: no byte is a named token."""
        del token
        return None


class ForeignTokenizer:
    """A tokenizer of transformers that has no form in the library `tokenizers`."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.named: Mapping[str, str] = dict(backend.special_tokens_map)

    def encode(self, text: str) -> list[int]:
        _check_text(text)
        return list(self.backend.encode(text))

    def encode_cut(self, text: str, pair: str | None, longest: int | None) -> tuple[list[int], list[int]]:
        for each in (text, pair):
            _check_text(each or "")
        cut = {"truncation": True, "max_length": longest} if longest is not None else {}
        found = self.backend(text, pair, return_token_type_ids=True, **cut)
        return list(found["input_ids"]), list(found["token_type_ids"])

    def encode_bare(self, text: str) -> list[int]:
        _check_text(text)
        return list(self.backend.encode(text, add_special_tokens=False))

    def decode(self, token_ids: Sequence[int]) -> str:
        return str(self.backend.decode(list(token_ids), skip_special_tokens=True))

    def decode_whole(self, token_ids: Sequence[int]) -> str:
        return str(self.backend.decode(list(token_ids), skip_special_tokens=False))

    def token_id(self, token: str) -> int | None:
        found = self.backend.get_vocab().get(token)
        return None if found is None else int(found)


def load_tokenizer(folder: Path) -> Tokenizer | None:
    """The tokenizer of a checkpoint folder; None when it has none. Raises CheckpointError when it cannot be used."""
    if (file := folder / "tokenizer.json").is_file():
        config = {
            **read_json_if_any(folder / "special_tokens_map.json"),
            **read_json_if_any(folder / "tokenizer_config.json"),
        }
        return _from_json(file, config)
    if (file := folder / "tekken.json").is_file():
        from triptych.inputs.tekken import load_tekken

        backend, named = load_tekken(file)
        return TextTokenizer(backend, named=named)
    return _load_foreign(folder) if any((folder / name).is_file() for name in OTHER_FORMATS) else None


def end_ids(folder: Path | None, config: Mapping[str, Any], tokenizer: Tokenizer | None) -> frozenset[int]:
    """The ids that end a text, from the first of these that says: generation_config.json, config.json, the tokenizer.

    Raises CheckpointError for a value that is neither an id nor a list of ids.
    """
    text_config = config.get("text_config")
    generation = read_json_if_any(folder / "generation_config.json") if folder else {}
    for place in (generation, config, text_config):
        if isinstance(place, Mapping) and (stated := place.get("eos_token_id")) is not None:
            ids = stated if isinstance(stated, list) else [stated]
            if not all(isinstance(i, int) and not isinstance(i, bool) for i in ids):
                raise CheckpointError(
                    f"{folder or 'config'}: eos_token_id is {stated!r}; an id or a list of ids is needed"
                )
            return frozenset(ids)
    token = tokenizer.token_id(tokenizer.named["eos_token"]) if tokenizer and "eos_token" in tokenizer.named else None
    return frozenset() if token is None else frozenset([token])


def _from_json(file: Path, config: Mapping[str, Any]) -> TextTokenizer:
    try:
        backend = Backend.from_file(str(file))
        # What only the config names is added after what tokenizer.json has, in the order of its ids
        known = {token.content for token in backend.get_added_tokens_decoder().values()}
        missing = {token.content: token for token in reversed([*_declared(config)]) if token.content not in known}
        backend.add_tokens([*reversed(missing.values())])
    except Exception as error:  # the library raises plain Exception
        raise CheckpointError(f"{file}: is not a tokenizer: {error}") from error
    named = {role: _content(config[role]) for role in NAMED if config.get(role) is not None}
    return TextTokenizer(backend, named=named)


def _declared(config: Mapping[str, Any]) -> Iterator[AddedToken]:
    """The added tokens that a tokenizer_config.json states: by id, by role, and its list of further special ones."""
    for _, fields in sorted(config.get("added_tokens_decoder", {}).items(), key=lambda item: int(item[0])):
        yield AddedToken(**{name: value for name, value in fields.items() if name != "__type"})
    further = config.get("extra_special_tokens") or config.get("additional_special_tokens") or ()
    roles = [config[role] for role in NAMED if config.get(role) is not None]
    for token in [*roles, *(further.values() if isinstance(further, Mapping) else further)]:
        yield AddedToken(_content(token), special=True, normalized=False)


def _content(token: str | Mapping[str, Any]) -> str:
    return token if isinstance(token, str) else str(token["content"])


def _load_foreign(folder: Path) -> Tokenizer:
    from transformers import AutoTokenizer

    try:
        found = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # whatever a broken file makes transformers raise
        hint = f"; pip install {' '.join(missing)}" if (missing := _missing(folder)) else ""
        raise CheckpointError(f"{folder}: has a tokenizer that transformers cannot read{hint}: {error}") from error
    if isinstance(backend := getattr(found, "backend_tokenizer", None), Backend):
        return TextTokenizer(backend, named=dict(found.special_tokens_map))
    return ForeignTokenizer(found)


def _missing(folder: Path) -> list[str]:
    """Packages that transformers reads a sentencepiece model with and that are not installed."""
    modules = {"sentencepiece": "sentencepiece", "google.protobuf": "protobuf"} if any(folder.glob("*.model")) else {}
    return [package for module, package in modules.items() if not _is_installed(module)]


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that it would be in
        return False


def _check_text(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        found = f"{text[error.start]!a} at character {error.start}"
        raise InputError(
            f"the prompt is no valid text: {found} is half of a character; was it decoded from UTF-8?"
        ) from error


def _shortened(lengths: Sequence[int], room: int) -> list[int]:
    """Lengths of one text or two that fit: the longer loses first, then both alike; what is odd is left to the longer.

    Of two equal ones the second counts as the longer, as the library has it.
    """
    if len(lengths) == 1:
        return [min(lengths[0], room)]
    short, long = sorted(lengths)
    short = short if 2 * short <= room else min(short, room // 2)
    found = [short, min(long, room - short)]
    return found if lengths[0] <= lengths[1] else found[::-1]
