"""Names of older releases on model classes, and what they are called today."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable
from weakref import WeakSet

from typing_extensions import is_protocol

from triptych.capabilities.members import names_parameter
from triptych.capabilities.predicates import Flagged

RENAMED = {"get_multimodal_embeddings": "embed_multimodal", "get_input_embeddings": "embed_input_ids"}
_accepted: WeakSet[type] = WeakSet()
_COUNTS = ("get_num_mm_encoder_tokens", "get_num_mm_connector_tokens")


@runtime_checkable
class SupportsV0Only(Protocol):
    """A model written for a runner that passes positions, caches and attention metadata aside; see `why_not_run`."""

    supports_v0_only: ClassVar[Literal[True]] = True


supports_v0_only = Flagged[SupportsV0Only]("supports_v0_only")


def accept_older_names(cls: type) -> None:
    """Give a model class, and the classes that it inherits from, today's names for members with older ones.

    Each is told with a DeprecationWarning, once a class. The interfaces of multimodal models do this for the classes
    that inherit them; `ModelInfo.of` does it for any.
    """
    for base in reversed(cls.__mro__):
        if base not in _accepted and not is_protocol(base):
            _accepted.add(base)
            _accept(base)


def _accept(cls: type) -> None:
    own = vars(cls)
    for old, new in RENAMED.items():
        if old in own and new not in own and _is_meant(old, own[old]):
            _warn(cls, old, new)
            setattr(cls, new, own[old])
    if (counts := [name for name in _COUNTS if name in own]) and "get_mm_lora_token_counts" not in own:
        _warn(cls, " and ".join(counts), "get_mm_lora_token_counts")
        setattr(cls, "get_mm_lora_token_counts", _token_counts)  # noqa: B010 (no such member, to a type checker)
    if getattr(cls, "supports_v0_only", False):
        _warn(cls, "supports_v0_only", "a forward that takes `step`")


def _is_meant(old: str, member: Any) -> bool:
    """Whether it is the older member: transformers has a `get_input_embeddings` too, which takes no ids."""
    return old != "get_input_embeddings" or names_parameter(member, "input_ids")


def _token_counts(
    self: Any,
    *,
    modality: str,  # noqa: ARG001
    mm_kwargs: Mapping[str, object],  # noqa: ARG001
    num_mm_embeds: int,
) -> tuple[int, int | None]:
    """`get_mm_lora_token_counts` by the two older methods: rows of items -> tokens of the tower -> of the projector."""
    tower = self.get_num_mm_encoder_tokens(num_mm_embeds)
    connector = getattr(self, "get_num_mm_connector_tokens", None)
    return tower, None if connector is None else connector(tower)


def _warn(cls: type, old: str, new: str) -> None:
    message = f"{cls.__qualname__}: {old} is of an older release; today's name is {new}"
    warnings.warn(message, DeprecationWarning, stacklevel=4)
