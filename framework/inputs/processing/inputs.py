"""What a processor takes and what it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from triptych.inputs.items import MultiModalFeatureSpec, MultiModalKwargsItems
from triptych.inputs.media import MultiModalDataItems
from triptych.inputs.placeholders import PlaceholderRange


@dataclass(frozen=True, eq=False)
class ProcessorInputs:
    """A prompt (token ids, or a text to encode), its items, the ids that users gave them, and keywords for this call.

    `mm_kwargs` may be flat (for every modality) or scoped: `{"images": {...}}`. With a `salt`, of a client or a tenant,
    names of items are its own: an id of another's is none of its. `keep` is off for items that do not come again.
    """

    prompt: str | Sequence[int]
    mm_items: MultiModalDataItems
    mm_uuids: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    mm_kwargs: Mapping[str, object] = field(default_factory=dict)
    salt: str = ""
    keep: bool = True


@dataclass(frozen=True, eq=False)
class MultiModalInputs:
    """What the runner takes: token ids with a placeholder for every row of an item, and the items as tensors.

    `mm_hashes` name the items by content, `mm_placeholders` say where the rows of each go; both in item order.
    `used_fallback`: a target was not among the tokens of the prompt, which was encoded anew from its text.
    """

    prompt_token_ids: tuple[int, ...]
    mm_kwargs: MultiModalKwargsItems
    mm_hashes: Mapping[str, Sequence[str]]
    mm_placeholders: Mapping[str, Sequence[PlaceholderRange]]
    encoder_prompt_token_ids: tuple[int, ...] | None = None
    used_fallback: bool = False

    def padded(self, length: int) -> MultiModalInputs:
        """The same with id 0 at the end of a prompt that is shorter than `length`."""
        ids = self.prompt_token_ids
        return replace(self, prompt_token_ids=(*ids, *[0] * (length - len(ids))))

    def features(self) -> list[MultiModalFeatureSpec]:
        """Every item with its place, in the order of the prompt."""
        found = [
            MultiModalFeatureSpec(data=item, modality=modality, identifier=name, mm_position=place, mm_hash=name)
            for modality, places in self.mm_placeholders.items()
            if places
            for item, name, place in zip(self.mm_kwargs[modality], self.mm_hashes[modality], places, strict=True)
        ]
        return sorted(found, key=lambda feature: feature.mm_position.offset)
