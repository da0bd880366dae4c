"""What a model that a spec describes says of its items: counts, texts around them, the largest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from triptych.inputs.media import (
    MultiModalDataParser,
)
from triptych.inputs.media.video_files import every_frame
from triptych.inputs.processing.encoded import sized_fields
from triptych.inputs.processing.grid_embeds import embed_fields
from triptych.inputs.processing.info import BaseProcessingInfo
from triptych.inputs.processing.inputs import MultiModalInputs
from triptych.inputs.processing.largest import largest_video
from triptych.inputs.updates import (
    PromptUpdateDetails,
)
from triptych.parts.sampling import Uniform
from triptych.spec.item_facts import ItemFacts, VideoFacts
from triptych.spec.prompts import Pieces
from triptych.spec.tokens import Known


class SpecProcessingInfo(BaseProcessingInfo):
    """What the token rules of a spec say."""

    def get_supported_mm_limits(self) -> Mapping[str, int | None]:
        """Any number of items of each modality that the spec has a rule for."""
        return dict.fromkeys(self.ctx.tokens)

    def get_data_parser(self) -> MultiModalDataParser:
        """What reads items; waveforms are brought to the rate that the checkpoint's feature extractor takes, and of
        files of video those frames are read that `choose_frames` takes.
        """
        return MultiModalDataParser(
            target_sr=self.ctx.rate,
            choose_frames=self.choose_frames,
            embeds=self.ctx.settings.embeds,
            embed_fields=sized_fields(self.ctx.tokens) | embed_fields(self.ctx.tokens),
            expected_hidden_size=self.ctx.width,
            originals=self.originals,
        )

    def get_mm_max_tokens_per_item(self, seq_len: int, mm_counts: Mapping[str, int]) -> Mapping[str, int] | None:
        """By the formula of the spec, for an item of the size that takes most; a video as long as a prompt holds it."""
        return {m: self.count(m, self.largest(m, room=seq_len)) for m in mm_counts}

    def count(self, modality: str, item: ItemFacts) -> int:
        """How many placeholders an item takes, as the checkpoint's processor prepares it."""
        rule, ids = self.ctx.tokens[modality], self.parted(modality, item) or []
        return rule.count(item, self.ctx.processor_config(modality)) + len(ids) - ids.count(rule.placeholder)

    def get_blocks(self, prompt: MultiModalInputs) -> tuple[range, ...]:
        """The rows of each item, or those of the whole prompt, as the rules say."""
        attend = {modality: rule.attend for modality, rule in self.ctx.tokens.items()}
        if "prefix" in attend.values():
            return (range(len(prompt.prompt_token_ids)),)
        spans = (f.mm_position.extract_embeds_range() for f in prompt.features() if attend[f.modality] == "both")
        return tuple(range(first, last + 1) for first, last in sorted(chain.from_iterable(spans)))

    def largest(self, modality: str, *, room: int | None = None) -> ItemFacts:
        """The facts of an item that takes the most; of a video of those that take no more than `room` tokens.

        A video has no more frames than are taken of a file: of those that come as frames all are, so that these may
        take more.
        """
        rule, config = self.ctx.tokens[modality], self.ctx.processor_config(modality)
        if modality != "video":
            return rule.largest(config)
        are_sampled = self.ctx.asked_of_videos.get("do_sample_frames") is not False
        return largest_video(rule, config, bound=rule.bound(config) if are_sampled else None, room=room)

    def choose_frames(self, video: VideoFacts) -> Sequence[int]:
        """Which frames of a file are taken: as the settings or the checkpoint's processor say, else as the spec does.

        Raises OptionError for settings that say nothing clear, InputError for a video of which too little is known.
        """
        if self.ctx.asked_of_videos.get("do_sample_frames") is False:
            return every_frame(video)
        rule = self.ctx.tokens.get("video")
        sampling = rule.sampling if rule is not None and rule.sampling is not None else Uniform()
        return sampling(video, self.ctx.processor_config("video"))

    def pieces(self, modality: str, count: int, item: Known) -> Pieces:
        """What an item of `count` rows becomes: texts and numbers of placeholders. Raises InputError as `content`."""
        config = self.ctx.processor_config(modality) if isinstance(item, ItemFacts) else {}
        return self.ctx.tokens[modality].content(count, item, config)

    def edges(self, modality: str, count: int, item: Known) -> tuple[str, str]:
        """The texts before and after the placeholders of an item, where its rule has some."""
        first, *_, last = self.pieces(modality, count, item)
        assert isinstance(first, str)
        assert isinstance(last, str)
        return first, last

    def varies(self, modality: str) -> bool:
        """Whether there are items, as the checkpoint's processor prepares them, with other texts around than others."""
        rule = self.ctx.tokens.get(modality)
        if rule is None or not rule.varies:
            return False
        largest = self.largest(modality)
        return self.edges(modality, self.count(modality, largest), largest) != (rule.before, rule.after)

    def content(self, modality: str, count: int, item: Known) -> PromptUpdateDetails:
        """What an item of `count` rows becomes: placeholders, and texts as the tokenizer has them by themselves.

        Raises InputError for an item without facts (rows that are encoded already) where these are needed, and for
        texts without a tokenizer.
        """
        rule = self.ctx.tokens[modality]
        if isinstance(item, ItemFacts) and self.parted(modality, item) is not None:
            return PromptUpdateDetails([rule.placeholder] * count)
        whole, has_texts = self._written(modality, count, item)
        return PromptUpdateDetails.select_token_id(whole, rule.placeholder) if has_texts else PromptUpdateDetails(whole)

    def parted(self, modality: str, item: ItemFacts) -> list[int] | None:
        """The ids of an item before rows are left out of it, where texts stand between its moments; None for others.

        Which rows stay is known later, so that texts are rows of it too: they go to the model with it.
        """
        rule = self.ctx.tokens[modality]
        if not rule.timed or rule.whole is None:
            return None
        return self._written(modality, rule.whole(item, self.ctx.processor_config(modality)), item)[0]

    def _written(self, modality: str, count: int, item: Known) -> tuple[list[int], bool]:
        """The ids of an item of so many rows, and whether texts are among them."""
        rule, pieces = self.ctx.tokens[modality], self.pieces(modality, count, item)
        texts = {piece: self.get_tokenizer().encode_bare(piece) for piece in pieces if isinstance(piece, str)}
        found = [texts[piece] if isinstance(piece, str) else [rule.placeholder] * piece for piece in pieces]
        return [*chain.from_iterable(found)], bool(texts)
