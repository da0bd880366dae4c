"""What updates ask of a tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class TextCodec(Protocol):
    """Text <-> token ids with nothing added and nothing left out: `triptych.inputs.tokenizer.Tokenizer` is one."""

    def encode_bare(self, text: str) -> list[int]:
        """Ids of the text alone; special tokens that it has written out are read as such."""

    def decode_whole(self, token_ids: Sequence[int]) -> str:
        """Text with special tokens as they are written."""
