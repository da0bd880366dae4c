"""Token ids -> text as they come: never half a character, and the pieces together are the text of the whole."""

from __future__ import annotations

from typing import Final

from triptych.inputs.tokenizer import Tokenizer

UNKNOWN: Final = "\ufffd"  # what decoders write for bytes that are no character, so also for half of one
PATIENCE: Final = 16  # tokens held back before bytes are taken for broken; a character has at most four bytes


class Detokenizer:
    """Decodes a growing list of ids.

    Decoders look at neighbours (a leading space, bytes of one character), so the new ids are decoded after those of the
    last piece given out, and what these alone give is cut off in front.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []  # those of the last piece, then those held back
        self._given = 0  # how many of the first kind
        self._length = 0  # characters that these alone decode to

    def push(self, token: int) -> str:
        """The text that this token completes, or ""."""
        self._ids.append(token)
        text = self._tokenizer.decode(self._ids)
        half = text.endswith(UNKNOWN) and len(self._ids) - self._given < PATIENCE
        return "" if half or len(text) <= self._length else self._give(text)

    def flush(self) -> str:
        """What is still held back, broken or not."""
        return self._give(self._tokenizer.decode(self._ids))

    def _give(self, text: str) -> str:
        piece = text[self._length :]
        self._ids = self._ids[self._given :]
        self._given = len(self._ids)
        self._length = len(self._tokenizer.decode(self._ids))
        return piece
