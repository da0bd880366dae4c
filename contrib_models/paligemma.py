"""How PaliGemma is asked: its images, a begin token, the text and the end of a line."""

from __future__ import annotations

from typing import ClassVar

import triptych


class PaliGemmaProcessor(triptych.SpecProcessor):
    """As the spec says, of a text written as the model was taught: `<image><bos>describe the picture\\n`.

    Images stand before the text whether it has a place for them or not; what comes after the last is the text.
    """

    between: ClassVar[str] = ""

    def encode(self, text: str, *, bare: bool = False) -> list[int]:  # noqa: ARG002  (the begin token stands inside)
        """Token ids of the prompt; a rendered chat is written so too, as the reference's processor has it."""
        target = self.info.ctx.tokens["image"].target
        at = text.rfind(target) + len(target) if target in text else 0
        begin = self.info.get_tokenizer().named.get("bos_token", "<bos>")
        return super().encode(f"{text[:at]}{begin}{text[at:]}\n", bare=True)
