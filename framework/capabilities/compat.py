"""Names of older releases on model classes, and what they are called today."""

# N tokens, H hidden size

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable
from weakref import WeakSet

from typing_extensions import is_protocol

from triptych.arguments import check_arguments
from triptych.capabilities.members import names_parameter
from triptych.capabilities.predicates import Flagged

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class SupportsV0Only(Protocol):
    """A model written for a runner that passes positions, caches and attention metadata aside; see `why_not_run`."""

    supports_v0_only: ClassVar[Literal[True]] = True


supports_v0_only = Flagged[SupportsV0Only]("supports_v0_only")

_accepted: WeakSet[type] = WeakSet()


def accept_older_names(cls: type) -> None:
    """Give a model class, and the classes that it inherits from, today's names for members with older ones.

    Each is told with a DeprecationWarning, once a class. The interfaces of multimodal models do this for the classes
    that inherit them; `ModelInfo.of` does it for any.
    """
    check_arguments(cls=(cls, type))
    for base in reversed(cls.__mro__):
        if base not in _accepted and not is_protocol(base):
            _accepted.add(base)
            for old, (new, adapted) in _OLDER.items():
                _accept(base, old, new, adapted)
            for old, new in _OLDER_FLAGS.items():
                _accept(base, old, new, lambda value: value)
            if vars(base).get("supports_quantization"):
                _warn(base, "supports_quantization", "the mixin SupportsQuant")
            if getattr(base, "supports_v0_only", False):
                _warn(base, "supports_v0_only", "a forward that takes `step`")


def _accept(cls: type, old: str, new: str, adapted: Callable[[Any], Any]) -> None:
    if old in vars(cls) and new not in vars(cls) and (function := adapted(vars(cls)[old])) is not None:
        _warn(cls, old, new)
        setattr(cls, new, function)


def _warn(cls: type, old: str, new: str) -> None:
    message = f"{cls.__qualname__}: {old} is of an older release; today it is {new}"
    warnings.warn(message, DeprecationWarning, stacklevel=4)


def _embed_multimodal(old: Callable[..., Any]) -> Callable[..., Any]:
    """Today's returns no rows where the older one returned None."""

    def embed_multimodal(self: object, **kwargs: object) -> Any:
        rows = old(self, **kwargs)
        return [] if rows is None else rows

    return embed_multimodal


def _embed_input_ids(old: Callable[..., Any]) -> Callable[..., Any] | None:
    """The older one found the places of rows by itself. None for transformers' method of that name: it takes no ids."""
    if not names_parameter(old, "input_ids"):
        return None
    if not names_parameter(old, "multimodal_embeddings") or names_parameter(old, "is_multimodal"):
        return old

    def embed_input_ids(
        self: object,
        input_ids: Tensor,
        multimodal_embeddings: Any = None,
        *,
        is_multimodal: Tensor | None = None,  # noqa: ARG001
    ) -> Any:
        return old(self, input_ids, multimodal_embeddings=multimodal_embeddings)

    return embed_input_ids


def _token_counts(_: Callable[..., Any]) -> Callable[..., Any]:
    """One method for what were two: rows of items -> tokens of the tower -> tokens of the projector."""

    def get_mm_lora_token_counts(
        self: Any,
        *,
        modality: str,  # noqa: ARG001
        mm_kwargs: Mapping[str, object],  # noqa: ARG001
        num_mm_embeds: int,
    ) -> tuple[int, int | None]:
        tower = self.get_num_mm_encoder_tokens(num_mm_embeds)
        connector = getattr(self, "get_num_mm_connector_tokens", None)
        return tower, None if connector is None else connector(tower)

    return get_mm_lora_token_counts


# Older name -> today's, and what makes today's member of the older one.
_OLDER: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "get_multimodal_embeddings": ("embed_multimodal", _embed_multimodal),
    "get_input_embeddings": ("embed_input_ids", _embed_input_ids),
    # `get_num_mm_connector_tokens` goes with it
    "get_num_mm_encoder_tokens": ("get_mm_lora_token_counts", _token_counts),
}

_OLDER_FLAGS = {"supports_pipeline_parallel": "supports_pp"}
