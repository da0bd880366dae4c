"""Updates of a prompt as data: what takes the place of a target, or goes behind it, for each item of a modality."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from operator import index

from triptych.arguments import check_arguments
from triptych.errors import PromptUpdateError, PromptUpdateTypeError, short
from triptych.inputs.updates.codec import TextCodec
from triptych.inputs.updates.details import PromptContent, PromptUpdateDetails, UpdateContent
from triptych.inputs.updates.targets import PromptIndex, PromptTarget, Target, UpdateTarget


class UpdateMode(Enum):
    """Whether the target stays, with the content behind it, or goes."""

    INSERT = "insert"
    REPLACE = "replace"


@dataclass(frozen=True)
class ResolvedPromptUpdate:
    """An update of one item, with all that depends on its index worked out."""

    modality: str
    item_idx: int
    mode: UpdateMode
    target: Target
    content: PromptUpdateDetails
    allow_extra: bool = False


ItemUpdates = Mapping[str, Sequence[Sequence[ResolvedPromptUpdate]]]
"""By modality, of each item in order, the alternatives that are tried for it."""


@dataclass(frozen=True)
class PromptUpdate(ABC):
    """What an item of the modality changes in the prompt, at the first match of its target.

    A replacement whose target is still there when all items are placed is a mistake, unless `allow_extra` says
    otherwise. For an insertion it is none, as one target serves all items.
    """

    modality: str
    target: UpdateTarget
    allow_extra: bool = field(default=False, kw_only=True)

    @property
    @abstractmethod
    def content(self) -> UpdateContent:
        """What goes into the prompt."""

    @property
    @abstractmethod
    def mode(self) -> UpdateMode:
        """Whether the target stays."""

    def resolve(self, item_idx: int, tokenizer: TextCodec | None = None) -> ResolvedPromptUpdate:
        """The update of one item; functions of the index are called here, once.

        Raises PromptUpdateTypeError for targets and contents that are none, PromptUpdateError for a target that is a
        text where no tokenizer is given.
        """
        at = f"{self.modality}[{item_idx}]"
        target = self.target(item_idx) if callable(self.target) else self.target
        content = self.content(item_idx) if callable(self.content) else self.content
        return ResolvedPromptUpdate(
            modality=self.modality,
            item_idx=item_idx,
            mode=self.mode,
            target=target_of(target, tokenizer, f"{at}.target"),
            content=_details(content, f"{at}.content"),
            allow_extra=self.allow_extra,
        )


@dataclass(frozen=True)
class PromptInsertion(PromptUpdate):
    """The insertion goes behind the target; at one target, those of all items one after the other."""

    insertion: UpdateContent

    @property
    def content(self) -> UpdateContent:
        """The insertion."""
        return self.insertion

    @property
    def mode(self) -> UpdateMode:
        """The target stays."""
        return UpdateMode.INSERT


@dataclass(frozen=True)
class PromptReplacement(PromptUpdate):
    """The replacement takes the place of the target; at a spot of no width, those of all items one after the other."""

    replacement: UpdateContent

    @property
    def content(self) -> UpdateContent:
        """The replacement."""
        return self.replacement

    @property
    def mode(self) -> UpdateMode:
        """The target goes."""
        return UpdateMode.REPLACE


def bind_updates(
    updates: Iterable[PromptUpdate], counts: Mapping[str, int], *, tokenizer: TextCodec | None = None
) -> dict[str, list[list[ResolvedPromptUpdate]]]:
    """The updates of each item of a prompt with so many of each modality; modalities as the updates first name them.

    Several updates of one modality are alternatives of each of its items. Raises what `PromptUpdate.resolve` raises.
    """
    check_arguments(updates=(updates, Iterable), counts=(counts, Mapping))
    alternatives: dict[str, list[PromptUpdate]] = {}
    for update in updates:
        alternatives.setdefault(update.modality, []).append(update)
    return {
        modality: [[update.resolve(item, tokenizer) for update in found] for item in range(counts.get(modality, 0))]
        for modality, found in alternatives.items()
    }


def target_of(target: PromptTarget, tokenizer: TextCodec | None, path: str) -> Target:
    """The tokens or the spot that a target means. Raises PromptUpdateError as `PromptUpdate.resolve` does."""
    if isinstance(target, PromptIndex):
        return target
    if not isinstance(target, str):
        return tuple(_token_ids(target, path))
    if tokenizer is None:
        raise PromptUpdateError(f"{short(target)} is a text; give a tokenizer, or its token ids", path=path)
    return tuple(tokenizer.encode_bare(target))


def _details(content: PromptContent, path: str) -> PromptUpdateDetails:
    if isinstance(content, PromptUpdateDetails):
        return content
    return PromptUpdateDetails(_token_ids(content, path))


def _token_ids(value: object, path: str) -> list[int]:
    try:
        if isinstance(value, Sequence) and not isinstance(value, str | bytes):
            return [index(token) for token in value]
    except TypeError:
        pass  # not all of them are whole numbers
    raise PromptUpdateTypeError(f"a list of token ids is wanted, not {short(value)}", path=path)
