"""From what a user gives, text or token ids and items beside it, to a prompt as the model takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from triptych.errors import InputError, Problem
from triptych.inputs.media import MultiModalDataItems
from triptych.inputs.media.limits import not_taken
from triptych.inputs.processing import BaseMultiModalProcessor, ProcessorInputs
from triptych.inputs.prompt import Prompt, check_taken, in_front
from triptych.inputs.tokenizer import Tokenizer

if TYPE_CHECKING:
    from triptych.inputs.chat import ChatTemplate

MARK = "\N{INVISIBLE SEPARATOR}" * 3  # a text that no template writes by itself


@dataclass
class PromptReader:
    """The tokenizer and chat template of one checkpoint, and what prepares items; loaded when first needed.

    `processor` prepares items; None for a model that takes none. `targets` are the texts that stand for an item in a
    prompt, by modality.
    """

    folder: Path | None
    tokenizer: Tokenizer | None
    processor: BaseMultiModalProcessor[Any] | None = None
    targets: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def template(self) -> ChatTemplate | None:
        """The chat template, where the folder has one. Raises CheckpointError when it cannot be read."""
        if self.folder is None or self.tokenizer is None:
            return None
        from triptych.inputs.chat import load_chat_template  # and Jinja with it, for which token ids have no use

        return load_chat_template(self.folder, self.tokenizer.named)

    def read(
        self, prompt: str | Sequence[int], items: Mapping[str, object] = MappingProxyType({}), *, raw: bool = False
    ) -> Prompt:
        """The prompt with its items by modality; a text becomes a user's turn of a chat unless `raw`, or no template is
        there.

        Raises InputError for what cannot be read, and when items and placeholders do not fit together.
        """
        if self.processor is None:
            check_taken(items)
            return Prompt(tuple(self._encode(prompt, None, raw=raw) if isinstance(prompt, str) else prompt))
        supported = self.processor.info.get_supported_mm_limits()
        if wrong := [Problem(not_taken(m, supported), m) for m in items if m not in supported]:
            raise InputError(wrong)  # before files are read
        parsed = self.processor.info.get_data_parser().parse_mm_data(items)
        ids = self._encode(prompt, parsed, raw=raw) if isinstance(prompt, str) else [*prompt]
        return self._prepared(self.processor, ids, parsed)

    def read_items(self, prompt: str | Sequence[int], items: Mapping[str, object]) -> Prompt:
        """The prompt as it is written, special tokens and all, with its items by modality.

        Raises InputError for what cannot be read, and for a model that takes text only.
        """
        if self.processor is None:
            raise InputError(f"this model takes text only, and {', '.join(items)} is given")
        parsed = self.processor.info.get_data_parser().parse_mm_data(items)
        ids = self.processor.encode_beside(prompt, parsed, bare=True) if isinstance(prompt, str) else [*prompt]
        return self._prepared(self.processor, ids, parsed)

    def _prepared(
        self, processor: BaseMultiModalProcessor[Any], ids: Sequence[int], items: MultiModalDataItems
    ) -> Prompt:
        found = processor.apply(ProcessorInputs(ids, items))
        features = tuple(found.features())
        if found.encoder_prompt_token_ids is not None:
            return Prompt(found.prompt_token_ids, sources=features)
        return Prompt(found.prompt_token_ids, features, blocks=processor.info.get_blocks(found))

    def _encode(self, text: str, items: MultiModalDataItems | None, *, raw: bool) -> list[int]:
        if self.tokenizer is None:
            raise InputError("is text, and this model has no tokenizer; give token ids")
        counts = {} if items is None else items.get_all_counts()
        turn = None if raw or self.template is None else self._turn(self.template, text, counts)
        whole = self._in_front(text, counts) if turn is None else turn
        if self.processor is not None:
            assert items is not None
            return self.processor.encode_beside(whole, items, bare=turn is not None)
        return self.tokenizer.encode(whole) if turn is None else self.tokenizer.encode_bare(whole)

    def _in_front(self, text: str, counts: Mapping[str, int]) -> str:
        between = self.processor.between if self.processor is not None else "\n"
        return in_front(text, self.targets, counts, between=between)

    def _turn(self, template: ChatTemplate, text: str, counts: Mapping[str, int]) -> str:
        """A user's turn in the first form that loses nothing: some templates show parts only, others plain text only.

        Where no placeholder is written for parts that are items, they stand in the text.
        """
        marked = zip(self._forms(text, counts), self._forms(text + MARK, counts), strict=True)
        fitting = (content for content, probe in marked if self._shows(template, probe, text, counts))
        return template.render([{"role": "user", "content": next(fitting, text)}])

    def _forms(self, text: str, counts: Mapping[str, int]) -> list[str | list[dict[str, str]]]:
        """What the content of a message may be: parts that are items, a plain text, one part that is text."""
        whole = self._in_front(text, counts)
        part = {"type": "text", "text": text}
        items = [
            {"type": m} for m, count in counts.items() for _ in range(count) if self.targets.get(m, "") not in text
        ]
        return [*([[*items, part]] if whole != text else []), whole, [{**part, "text": whole}]]

    def _shows(self, template: ChatTemplate, content: object, text: str, counts: Mapping[str, int]) -> bool:
        """Whether a turn of this content has the mark at the end of its text, and a placeholder for each item."""
        try:
            turn = template.render([{"role": "user", "content": content}])
        except InputError:
            return False
        wanted = {target: text.count(target) or counts.get(m, 0) for m, target in self.targets.items()}
        return MARK in turn and all(turn.count(target) == count for target, count in wanted.items())
