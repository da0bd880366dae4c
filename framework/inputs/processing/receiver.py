"""The other end of a processor's cache: the tensors of items, kept where the model is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from triptych.arguments import check_arguments
from triptych.errors import InputTypeError, MissingItemsError, Problem
from triptych.inputs.items import MultiModalFeatureSpec, MultiModalKwargsItem
from triptych.inputs.processing.cache import bytes_of, detached, warn_too_large
from triptych.inputs.processing.shelf import Shelf

LOST = "came without data, and none are kept here; let the sender forget it, and prepare the prompt again"


class ReceiverCache:
    """Tensors of items that a processor with a `SenderCache` of the same `capacity` prepares, perhaps elsewhere.

    Prompts are received in the order in which they were prepared; then it has what the sender takes it to have. Raises
    OptionError for a capacity below 0.
    """

    def __init__(self, capacity: int) -> None:
        self._shelf: Shelf[tuple[str, str], MultiModalKwargsItem] = Shelf(capacity)

    @property
    def nbytes(self) -> int:
        """How many bytes are kept."""
        return self._shelf.nbytes

    def __len__(self) -> int:
        return len(self._shelf)

    def receive(self, features: Sequence[MultiModalFeatureSpec]) -> list[MultiModalFeatureSpec]:
        """The items of one prompt, each with its data; what came with them is kept.

        Raises MissingItemsError for all that came without and are not here: once the sender has forgotten its `hashes`
        it prepares the prompt again, with them.
        """
        check_arguments(InputTypeError, features=(features, Sequence))
        with self._shelf.using([_key(each) for each in features]) as found:
            for each in features:
                if each.data is not None:
                    found[_key(each)] = self._kept(_key(each), each.data)
            if missing := {_key(each): each for each in features if _key(each) not in found}:
                problems = [Problem(f"{LOST}, as {name}", modality) for modality, name in missing]
                raise MissingItemsError(problems, hashes=[name for _, name in missing])
            return [replace(each, data=found[_key(each)]) for each in features]

    def _kept(self, key: tuple[str, str], data: MultiModalKwargsItem) -> MultiModalKwargsItem:
        own = detached(data)
        if not self._shelf.put(key, own, nbytes=bytes_of(own)):
            warn_too_large(key[0], bytes_of(own), self._shelf.capacity)
        return own


def _key(feature: MultiModalFeatureSpec) -> tuple[str, str]:
    return feature.modality, feature.mm_hash or feature.identifier
