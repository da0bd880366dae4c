"""From what a user gives, text or token ids and images, to a prompt as the model takes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from triptych.errors import InputError
from triptych.inputs.chat import ChatTemplate, load_chat_template
from triptych.inputs.images import ImageInput, ImageProcessor, load_image_processor
from triptych.inputs.prompt import Prompt, check_taken, encode_text, expand, in_front
from triptych.inputs.tokenizer import Tokenizer
from triptych.spec.tokens import TokenRule

MARK = "\N{INVISIBLE SEPARATOR}" * 3  # a text that no template writes by itself


@dataclass
class PromptReader:
    """The tokenizer, chat template and image processor of one checkpoint; the last two are loaded when first needed.

    `rule` says how images stand in a prompt; None for a model that takes none.
    """

    folder: Path | None
    tokenizer: Tokenizer | None
    rule: TokenRule | None

    @cached_property
    def template(self) -> ChatTemplate | None:
        """The chat template, where the folder has one. Raises CheckpointError when it cannot be read."""
        if self.folder is None or self.tokenizer is None:
            return None
        return load_chat_template(self.folder, self.tokenizer.named)

    @cached_property
    def processor(self) -> ImageProcessor:
        """The image processor. Raises CheckpointError for a folder without one, InputError without a folder."""
        if self.folder is None:
            raise InputError("images need the image processor of a checkpoint folder, and this model came without one")
        return load_image_processor(self.folder)

    def read(self, prompt: str | Sequence[int], images: Sequence[ImageInput] = (), *, raw: bool = False) -> Prompt:
        """The prompt with its images; a text becomes a user's turn of a chat unless `raw`, or no template is there.

        Raises InputError for what cannot be read, and when images and placeholders do not fit together.
        """
        check_taken(self.rule, len(images))
        pictures = [self.processor(image, name=f"images[{number}]") for number, image in enumerate(images)]
        ids = self._encode(prompt, len(images), raw=raw) if isinstance(prompt, str) else [*prompt]
        return expand(ids, pictures, self.rule, self.processor.config if pictures else {})

    def _encode(self, text: str, images: int, *, raw: bool) -> list[int]:
        if self.tokenizer is None:
            raise InputError("is text, and this model has no tokenizer; give token ids")
        if not raw and self.template is not None:
            turn = self._turn(self.template, text, images)
            return encode_text(turn, self.tokenizer.encode_bare, self.tokenizer, self.rule)
        text = text if self.rule is None else in_front(text, self.rule, images)
        return encode_text(text, self.tokenizer.encode, self.tokenizer, self.rule)

    def _turn(self, template: ChatTemplate, text: str, images: int) -> str:
        """A user's turn in the first form that loses nothing: some templates show parts only, others plain text only.

        Where no placeholder is written for parts that are images, they stand in the text.
        """
        marked = zip(self._forms(text, images), self._forms(text + MARK, images), strict=True)
        fitting = (content for content, probe in marked if self._shows(template, probe, text, images))
        return template.render([{"role": "user", "content": next(fitting, text)}])

    def _forms(self, text: str, images: int) -> list[str | list[dict[str, str]]]:
        """What the content of a message may be: parts that are images, a plain text, one part that is text."""
        whole = text if self.rule is None else in_front(text, self.rule, images)
        part = {"type": "text", "text": text}
        with_images = [[*({"type": "image"} for _ in range(images)), part]] if whole != text else []
        return [*with_images, whole, [{**part, "text": whole}]]

    def _shows(self, template: ChatTemplate, content: object, text: str, images: int) -> bool:
        """Whether a turn of this content has the mark at the end of its text, and a placeholder for each image."""
        try:
            turn = template.render([{"role": "user", "content": content}])
        except InputError:
            return False
        if self.rule is None:
            return MARK in turn
        return MARK in turn and turn.count(self.rule.target) == (text.count(self.rule.target) or images)
