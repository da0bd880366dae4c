"""When a text ends: stop strings over the text as it streams."""

from __future__ import annotations

from collections.abc import Sequence


class StopStrings:
    """Passes text on until a stop string shows, which is cut off with all that follows.

    What may be the start of a stop string is held back until it is clear.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = tuple(strings)
        self._held = ""
        self.found = False

    def push(self, piece: str, *, too_early: bool = False) -> str:
        """The text that is safe to show now. Sets `found` when a stop string has come, unless it is too early."""
        text = self._held + piece
        strings = () if too_early else self._strings
        places = [place for string in strings if (place := text.find(string)) >= 0]
        if places:
            self.found, self._held = True, ""
            return text[: min(places)]
        safe = len(text) - self._undecided(text)
        self._held = text[safe:]
        return text[:safe]

    def flush(self) -> str:
        """What was held back: no more text comes, so it is no stop string."""
        text, self._held = self._held, ""
        return text

    def _undecided(self, text: str) -> int:
        """The length of the longest end of `text` that starts a stop string."""
        longest = max((len(string) for string in self._strings), default=1) - 1
        lengths = range(min(longest, len(text)), 0, -1)
        return next((n for n in lengths if any(s.startswith(text[-n:]) for s in self._strings)), 0)
