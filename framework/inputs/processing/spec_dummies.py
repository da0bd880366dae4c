"""Dummy inputs of a model that a spec describes: items of the size that takes most placeholders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

from triptych.inputs.processing.dummy import BaseDummyInputsBuilder
from triptych.inputs.processing.spec_info import SpecProcessingInfo
from triptych.spec.item_facts import AudioFacts, ImageFacts, ItemFacts, VideoFacts


class SpecDummyInputsBuilder(BaseDummyInputsBuilder[SpecProcessingInfo]):
    """Items of the size that takes most placeholders, and the target of each."""

    def get_dummy_text(self, mm_counts: Mapping[str, int]) -> str:
        tokens = self.info.ctx.tokens
        return "".join(tokens[modality].target * count for modality, count in mm_counts.items())

    def get_dummy_mm_data(
        self,
        seq_len: int,
        mm_counts: Mapping[str, int],
        mm_options: Mapping[str, Mapping[str, int]],
    ) -> dict[str, object]:
        found: dict[str, object] = {}
        for modality, count in mm_counts.items():
            found[modality] = self._dummies(self.info.largest(modality, room=seq_len), count, mm_options.get(modality))
        return found

    def _dummies(self, item: ItemFacts, count: int, options: Mapping[str, int] | None) -> Sequence[object]:
        match item:
            case ImageFacts(height, width):
                return self._get_dummy_images(width=width, height=height, num_images=count, options=options)
            case VideoFacts(frames, height, width):
                return self._get_dummy_videos(
                    width=width, height=height, num_frames=frames, num_videos=count, options=options
                )
            case AudioFacts(samples):
                return self._get_dummy_audios(length=samples, num_audios=count, options=options)
        assert_never(item)
