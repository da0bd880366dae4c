"""Processors of models whose items stand in a prompt of their own, which the encoder reads."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from triptych.inputs.media import MultiModalDataItems
from triptych.inputs.processing.dummy import Info
from triptych.inputs.processing.inputs import MultiModalInputs, ProcessorInputs
from triptych.inputs.processing.processor import BaseMultiModalProcessor


class EncDecMultiModalProcessor(BaseMultiModalProcessor[Info]):
    """The steps are taken on the encoder's prompt; the decoder begins with a prompt that they leave alone.

    Before it stands the `decoder_start_token_id` of the config, if it has one and the prompt does not begin with it,
    unless `skip_decoder_start_token`.
    """

    skip_decoder_start_token: ClassVar[bool] = False

    @abstractmethod
    def create_encoder_prompt(self, prompt: str | Sequence[int], mm_items: MultiModalDataItems) -> str | list[int]:
        """What the encoder reads: placeholders of the items."""

    def create_decoder_prompt(
        self,
        prompt: str | Sequence[int],
        mm_items: MultiModalDataItems,  # noqa: ARG002
    ) -> str | Sequence[int]:
        """What the decoder begins with: the prompt itself. A text is encoded without special tokens."""
        return prompt

    def _is_begun(self, token_ids: Sequence[int], start: int) -> bool:
        """Whether a decoder's prompt has its start already."""
        return [*token_ids[:1]] == [start]

    def apply(self, inputs: ProcessorInputs) -> MultiModalInputs:
        """As of every processor; `encoder_prompt_token_ids` are the encoder's, and places count in these."""
        found = super().apply(replace(inputs, prompt=self.create_encoder_prompt(inputs.prompt, inputs.mm_items)))
        prompt = self.create_decoder_prompt(inputs.prompt, inputs.mm_items)
        ids = self.encode(prompt, bare=True) if isinstance(prompt, str) else list(prompt)
        start = None if self.skip_decoder_start_token else self.info.get_hf_config().get("decoder_start_token_id")
        if isinstance(start, int) and not self._is_begun(ids, start):
            ids = [start, *ids]
        return replace(found, prompt_token_ids=tuple(ids), encoder_prompt_token_ids=found.prompt_token_ids)
