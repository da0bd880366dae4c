"""Tekken files (`tekken.json`), as Mistral's newer models have them -> a tokenizer of the library `tokenizers`.

Such a file has byte strings by rank, a pattern that cuts a text into words, and special tokens, whose ids come first.
In a word those two neighbours are joined, again and again, whose bytes together are of the lowest rank.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError
from tokenizers import AddedToken, Regex
from tokenizers import Tokenizer as Backend
from tokenizers.decoders import ByteLevel as Decoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Split
from tokenizers.pre_tokenizers import Sequence as InTurn
from tokenizers.processors import TemplateProcessing

from triptych.errors import CheckpointError
from triptych.spec.json_file import read_json

MOST_TOKENS = 2**20
MOST_BYTES = 512  # of one token
BEGIN = "<s>"
UNNAMED = ("v1", "v2", "v3", "v7")  # versions of files that leave out their special tokens where these are `KNOWN`
KNOWN = (
    *("<unk>", BEGIN, "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"),
    *("[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]"),
    *("[PREFIX]", "[MIDDLE]", "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]"),
)
ROLES = {"bos_token": BEGIN, "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}


class _Form(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class _Config(_Form):
    pattern: str = Field(min_length=1, max_length=4096)
    default_vocab_size: PositiveInt = Field(le=MOST_TOKENS)
    default_num_special_tokens: PositiveInt = Field(le=2**16)
    version: str = ""


class _Token(_Form):
    rank: NonNegativeInt
    token_bytes: str = Field(max_length=2 * MOST_BYTES)


class _Special(_Form):
    rank: NonNegativeInt
    token_str: str = Field(min_length=1, max_length=MOST_BYTES)


class _File(_Form):
    config: _Config
    vocab: list[_Token] = Field(max_length=MOST_TOKENS)
    special_tokens: list[_Special] | None = None

    @property
    def named(self) -> Mapping[int, str]:
        """The special tokens that have a text of their own, by id; those of old files are known."""
        if self.special_tokens is None:
            return dict(enumerate(KNOWN))
        return {each.rank: each.token_str for each in self.special_tokens}


def load_tekken(file: Path) -> tuple[Backend, dict[str, str]]:
    """The tokenizer of a file, and its special tokens by role. A text begins with `<s>`.

    Raises CheckpointError for what is no such file, for one with more tokens than 2**20, and for one of a newer version
    that says nothing of its special tokens.
    """
    found = _read(file)
    specials = _specials(found, file)
    ranks = _ranks(found, file)
    texts = {each: _text(each) for each in ranks}
    vocab = {text: len(specials) + ranks[each] for each, text in texts.items()}
    vocab |= {text: number for number, text in enumerate(specials)}  # found in a text before words are
    merges = [(texts[a], texts[b]) for a, b in _merges(ranks)]
    try:
        backend = Backend(BPE(vocab, merges, ignore_merges=True))
        words = Split(Regex(found.config.pattern), "isolated")
    except Exception as error:  # the library raises plain Exception
        raise CheckpointError(f"{file}: is not a tokenizer: {error}") from error
    backend.pre_tokenizer = InTurn([words, ByteLevel(add_prefix_space=False, use_regex=False)])
    backend.decoder = Decoder()
    backend.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in specials])
    if BEGIN in specials:
        ids = [(BEGIN, specials.index(BEGIN))]
        backend.post_processor = TemplateProcessing(single=f"{BEGIN} $A", pair=f"{BEGIN} $A $B:1", special_tokens=ids)
    return backend, {role: text for role, text in ROLES.items() if text in specials}


def _read(file: Path) -> _File:
    try:
        found = _File.model_validate(read_json(file))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise CheckpointError(f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if found.special_tokens is None and found.config.version not in UNNAMED:
        told = f"names no special_tokens, which only versions {', '.join(UNNAMED)} may leave out"
        raise CheckpointError(f"{file}: {told}; fetch it again")
    return found


def _specials(found: _File, file: Path) -> Sequence[str]:
    """Their texts by id, those that have none too."""
    most, texts = found.config.default_num_special_tokens, found.named
    named = [texts.get(number, f"<SPECIAL_{number}>") for number in range(most)]
    if len(texts) < len(found.special_tokens or ()) or len({*named}) < most or max(texts) >= most:
        raise CheckpointError(f"{file}: special_tokens are to have {most} texts and ranks, no two alike")
    return named


def _ranks(found: _File, file: Path) -> dict[bytes, int]:
    """The bytes of each token that is used, every single byte among them."""
    most = found.config.default_vocab_size - found.config.default_num_special_tokens
    used = [each for each in found.vocab if each.rank < most]
    try:
        ranks = {base64.b64decode(each.token_bytes, validate=True): each.rank for each in used}
    except (binascii.Error, ValueError) as error:
        raise CheckpointError(f"{file}: vocab: token_bytes are to be base64: {error}") from None
    if not {*ranks.values()} == {*range(most)} or not all(bytes([byte]) in ranks for byte in range(256)):
        raise CheckpointError(f"{file}: vocab: every rank below {most} is needed once, and every single byte")
    return ranks


def _merges(ranks: Mapping[bytes, int]) -> Iterator[tuple[bytes, bytes]]:
    """All ways to join two tokens to a third, by the rank of the third."""
    for whole in sorted(ranks, key=ranks.__getitem__):
        cuts = ((whole[:at], whole[at:]) for at in range(1, len(whole)))
        pairs = [(a, b) for a, b in cuts if a in ranks and b in ranks]
        yield from sorted(pairs, key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))


def _letters() -> dict[int, str]:
    """The letter by which each byte is written: itself where it is seen, else one past the first 256."""
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    unseen = [byte for byte in range(256) if byte not in seen]
    return {byte: chr(byte) for byte in seen} | {byte: chr(256 + n) for n, byte in enumerate(unseen)}


_LETTERS: Mapping[int, Any] = _letters()


def _text(token: bytes) -> str:
    return token.decode("latin-1").translate(_LETTERS)
