"""From what users give of each modality to items: the one place where media come in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from triptych.arguments import check_arguments
from triptych.errors import InputError, InputTypeError, OptionError, short, suggest
from triptych.inputs.media.audio import MAX_RATE, has_rate, read_audio
from triptych.inputs.media.embed_fields import EmbedFields, read_dict_embeds
from triptych.inputs.media.embeds import NOT_ENABLED, check_several, is_embeds, read_embeds
from triptych.inputs.media.images import read_images
from triptych.inputs.media.items import ModalityDataItems, MultiModalDataItems
from triptych.inputs.media.originals import OriginalsRead
from triptych.inputs.media.reading import check_none
from triptych.inputs.media.video_files import Choose, every_frame
from triptych.inputs.media.videos import read_videos

Items: TypeAlias = ModalityDataItems[object]
Subparser: TypeAlias = Callable[[object], Items]
"""From what a user gives of one modality to its items. Raises InputError with every item that is wrong."""

Ids: TypeAlias = Mapping[str, Sequence[str | None]]


class MultiModalDataParser:
    """Reads the items of each modality. A subclass adds modalities by `get_subparsers`.

    `target_sr` is the rate in Hz to which audio is brought, `expected_hidden_size` the width that embeds must have.
    With `embeds`, as in the settings, users may bring them; those of a modality in `embed_fields` are mappings.
    `choose_frames` says which frames of a file of video are taken. What is one of the `originals` was read before, and
    is not read again until it is asked for.
    """

    def __init__(
        self,
        *,
        target_sr: float | None = None,
        video_needs_metadata: bool = False,
        choose_frames: Choose = every_frame,
        expected_hidden_size: int | None = None,
        embeds: bool = False,
        embed_fields: Mapping[str, EmbedFields] | None = None,
        originals: OriginalsRead | None = None,
    ) -> None:
        """Raise OptionError for a rate that cannot be one."""
        check_arguments(
            target_sr=(target_sr, int | float | None),
            expected_hidden_size=(expected_hidden_size, int | None),
            embed_fields=(embed_fields, Mapping | None),
            choose_frames=(choose_frames, Callable),
            originals=(originals, OriginalsRead | None),
        )
        if target_sr is not None and (not 1 <= target_sr <= MAX_RATE or target_sr != int(target_sr)):
            raise OptionError(
                f"is {short(target_sr)}; a whole number of Hz up to {MAX_RATE:,} is wanted", path="target_sr"
            )
        self.target_sr = None if target_sr is None else int(target_sr)
        self.video_needs_metadata = video_needs_metadata
        self.choose_frames = choose_frames
        self.expected_hidden_size = expected_hidden_size
        self.embeds = embeds
        self.embed_fields = embed_fields or {}
        self.originals = originals or OriginalsRead()

    def get_subparsers(self) -> Mapping[str, Subparser]:
        """What reads the items of each modality."""
        return {"audio": self.parse_audio, "image": self.parse_image, "video": self.parse_video}

    def parse_mm_data(self, data: Mapping[str, object], *, uuids: Ids | None = None) -> MultiModalDataItems:
        """The items of each modality that has any. An item may be None where `uuids` has the id that it is cached by.

        Raises InputError with all that is wrong: modalities that are not read, items that cannot be, ids that do not
        fit the items.
        """
        check_arguments(InputTypeError, data=(data, Mapping), uuids=(uuids, Mapping | None))
        items: dict[str, Items] = {}
        errors: dict[str, InputError] = {}
        for modality, given in data.items():
            try:
                items[modality] = self._parse(modality, given)
            except InputError as error:
                errors[modality] = error
        ids = {modality: each for modality, each in (uuids or {}).items() if modality not in errors}
        check_none([*errors.values(), *id_errors(items, ids)])
        return MultiModalDataItems({modality: found for modality, found in items.items() if len(found)})

    def parse_image(self, data: object) -> Items:
        """Images, or embeds of them."""
        embeds = self.parse_embeds("image", data)
        return read_images(data, originals=self.originals) if embeds is None else embeds

    def parse_video(self, data: object) -> Items:
        """Videos, or embeds of them."""
        embeds = self.parse_embeds("video", data)
        if embeds is not None:
            return embeds
        needs = self.video_needs_metadata
        return read_videos(data, needs_metadata=needs, choose=self.choose_frames, originals=self.originals)

    def parse_audio(self, data: object) -> Items:
        """Waveforms, or embeds of them."""
        embeds = None if has_rate(data) else self.parse_embeds("audio", data)
        return read_audio(data, target_sr=self.target_sr, originals=self.originals) if embeds is None else embeds

    def parse_embeds(self, modality: str, data: object) -> Items | None:
        """The embeds of a modality; None where data are something else.

        Raises InputError for embeds that the settings do not let in or that are not the model's, and for a single array
        of two dims, which may be meant as embeds and is none.
        """
        check_several(data, modality=modality)
        if not is_embeds(data) and not isinstance(data, Mapping):
            return None
        if not self.embeds:
            raise InputError(NOT_ENABLED, path=modality)
        if not isinstance(data, Mapping):
            return read_embeds(data, modality=modality, hidden_size=self.expected_hidden_size)
        if (fields := self.embed_fields.get(modality)) is None:
            raise InputTypeError("is a mapping, and this model has no embeds in several fields", path=modality)
        return read_dict_embeds(data, modality=modality, fields=fields, hidden_size=self.expected_hidden_size)

    def _parse(self, modality: str, data: object) -> Items:
        parsers = self.get_subparsers()
        if modality not in parsers:
            raise InputError(f"no such modality is read{suggest(modality, parsers)}", path=modality)
        return parsers[modality](data)


def id_errors(items: Mapping[str, Items], uuids: Ids) -> Iterator[InputError]:
    """What is wrong with the ids that stand beside items: another number of them, none for an item that is absent."""
    for modality, ids in uuids.items():
        count = len(items.get(modality, ()))
        found = "one text" if isinstance(ids, str) else str(len(ids))
        if isinstance(ids, str) or len(ids) != count:
            yield InputError(
                f"{found} for {count} items; a list with an id or None for each is wanted", path=f"uuids.{modality}"
            )
    for modality, each in items.items():
        given = [*uuids.get(modality, ()), *[None] * len(each)]
        for index in range(len(each)):
            if each.is_absent(index) and not given[index]:
                told = f"is None and has no id; give the {modality}, or in uuids the id that it is cached by"
                yield InputError(told, path=f"{modality}[{index}]")
