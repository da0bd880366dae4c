"""How MiniCPM-V is shown images: cut into slices, a number before each; and videos, frame by frame.

Its own processor is code, and is not run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import triptych
from triptych import PromptUpdateDetails


class MiniCPMVInfo(triptych.SpecProcessingInfo):
    """As the spec says; its image processor is the one that cuts as the spec's size does."""

    def __init__(self, ctx: triptych.InputProcessingContext) -> None:
        size: Any = ctx.tokens["image"].grid
        super().__init__(replace(ctx, load_images=triptych.load_slicer(size)))

    def get_supported_mm_limits(self) -> Mapping[str, int | None]:
        """Version 2.5 was shown no videos."""
        limits = super().get_supported_mm_limits()
        return {modality: most for modality, most in limits.items() if modality != "video" or self._version != "2.5"}

    @property
    def _version(self) -> str:
        return str(self.get_hf_config().get("version", "2.5"))

    @property
    def numbered(self) -> bool:
        """Whether a number stands before each image, as the files say, else from 2.6 on."""
        config = self.get_hf_config()
        said = [given.get("use_image_id") for given in (self.ctx.processor_config("image"), config)]
        return bool(next((each for each in said if each is not None), self._version != "2.5"))


class MiniCPMVProcessor(triptych.SpecProcessor):
    """As the spec says, and a number before each image of a prompt."""

    Info: ClassVar[type[MiniCPMVInfo]] = MiniCPMVInfo
    info: MiniCPMVInfo

    def _update_prompt(self, token_ids: list[int], updates: triptych.ItemUpdates) -> triptych.AppliedUpdates:
        """Numbered here: what is kept of an image may have stood elsewhere in another prompt."""
        if self.info.numbered:
            images = [[*map(self._numbered, each)] for each in updates.get("image", ())]
            updates = {**updates, "image": images} if images else updates
        return super()._update_prompt(token_ids, updates)

    def _numbered(self, update: triptych.ResolvedPromptUpdate) -> triptych.ResolvedPromptUpdate:
        number = self.info.get_tokenizer().encode_bare(f"<image_id>{update.item_idx}</image_id>")
        placeholder = self.info.ctx.tokens[update.modality].placeholder
        whole = [*number, *update.content.full]
        return replace(update, content=PromptUpdateDetails.select_token_id(whole, placeholder))
