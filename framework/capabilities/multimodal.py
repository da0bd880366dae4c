"""Models that take images, sound and other items beside text."""

# N tokens, H hidden size, n_i rows of item i

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias, cast, runtime_checkable

from triptych.capabilities.compat import accept_older_names
from triptych.capabilities.language_model import find_language_model
from triptych.capabilities.marking import MarksComponents
from triptych.capabilities.members import declared
from triptych.capabilities.predicates import Flagged, Option
from triptych.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

logger = logging.getLogger(__name__)

MultiModalEmbeddings: TypeAlias = "list[Tensor] | Tensor | tuple[Tensor, ...]"
"""Rows of items in the order of the prompt: [n_i, H] each, or one [items, n, H]."""


@runtime_checkable
class SupportsMultiModalEmbeddings(Protocol):
    """A model whose text embedding takes rows for placeholders."""

    supports_multimodal_embeddings: ClassVar[Literal[True]] = True

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        accept_older_names(cls)

    @declared
    def embed_input_ids(
        self,
        input_ids: Tensor,
        multimodal_embeddings: MultiModalEmbeddings | None = None,
        *,
        is_multimodal: Tensor | None = None,
    ) -> Tensor:
        """Embeddings [N, H] of ids [N], those where `is_multimodal` [N] is true being the rows of items, in order."""
        ...


@runtime_checkable
class SupportsMultiModal(MarksComponents, SupportsMultiModalEmbeddings, Protocol):
    """A model with towers and a language model. `embed_multimodal` and `get_placeholder_str` are its own to write."""

    supports_multimodal: ClassVar[Literal[True]] = True
    supports_multimodal_raw_input_only: ClassVar[bool] = False
    """It takes items in their raw form, never as embeddings."""
    supports_encoder_tp_data: ClassVar[bool] = False
    """Its towers can share out items over tensor ranks, each rank with all of the weights."""
    supports_mm_device_do_normalize: ClassVar[bool] = False
    """It rescales and normalises pixels itself, on the device."""
    supports_tower_connector_lora: ClassVar[bool] = False
    """Adapters may stand in its towers and projectors."""
    requires_raw_input_tokens: ClassVar[bool] = False
    """Its forward wants the ids, beside or instead of embeddings."""

    merged_by: ClassVar[str] = "triptych.assembly.merge"
    """The module of what writes rows to their places. By name, as it needs torch, which nothing here imports."""

    _language_model_path: str | None = None
    _has_oov_mm_tokens: bool = False

    @classmethod
    @declared
    def get_placeholder_str(cls, modality: str, i: int) -> str | None:
        """The text that stands for item `i` of a modality in a prompt, from 1; None for a modality it does not take."""
        ...

    @declared
    def embed_multimodal(self, **kwargs: object) -> MultiModalEmbeddings:
        """Rows of the given items through tower and projector, in the order of the items in the prompt."""
        ...

    @declared
    def get_mm_lora_token_counts(
        self, *, modality: str, mm_kwargs: Mapping[str, object], num_mm_embeds: int
    ) -> tuple[int, int | None]:
        """Tokens that the tower sees, and that the projector sees, for items that give `num_mm_embeds` rows."""
        ...

    def configure_mm_token_handling(self, vocab_size: int, mm_token_ids: Iterable[int]) -> None:
        """Note whether a placeholder's id lies past the vocabulary: id 0 is then embedded in its place.

        Where rows of items take the place, it is so without this.
        """
        self._has_oov_mm_tokens = any(token >= vocab_size for token in mm_token_ids)
        logger.info("placeholders past the vocabulary: %s", self._has_oov_mm_tokens)

    def get_language_model(self) -> nn.Module:
        """The child that the marked names of the language model share, else the first that can be one.

        Found once, and kept by its path, which holds no module alive. Raises MissingMemberError when there is none.
        """
        module = cast("nn.Module", self)
        if self._language_model_path is None:
            self._language_model_path = find_language_model(module, self._language_model_names)
        return module.get_submodule(self._language_model_path)

    def embed_input_ids(
        self,
        input_ids: Tensor,
        multimodal_embeddings: MultiModalEmbeddings | None = None,
        *,
        is_multimodal: Tensor | None = None,
    ) -> Tensor:
        """The language model's embeddings [N, H] of ids [N], with the rows of items where `is_multimodal` [N] is true.

        Raises InputError for rows without the mask, and when they do not fit its true places.
        """
        embed = cast("Callable[[Tensor], Tensor]", self.get_language_model().embed_input_ids)
        merging = import_module(self.merged_by)
        has_rows = multimodal_embeddings is not None and len(multimodal_embeddings) > 0
        if is_multimodal is not None and (has_rows or self._has_oov_mm_tokens):
            input_ids = merging.mask_placeholders(input_ids, is_multimodal)
        x_NH = embed(input_ids)
        if not has_rows:
            return x_NH
        if is_multimodal is None:
            raise InputError("embeddings of items are given without the mask of their places (is_multimodal)")
        merged: Tensor = merging.merge_embeddings(x_NH, multimodal_embeddings, is_multimodal)
        return merged


supports_multimodal_embeddings = Flagged[SupportsMultiModalEmbeddings]("supports_multimodal_embeddings")
supports_multimodal = Flagged[SupportsMultiModal]("supports_multimodal")
supports_multimodal_raw_input_only = Option("supports_multimodal_raw_input_only")
supports_multimodal_encoder_tp_data = Option("supports_multimodal_encoder_tp_data")
supports_mm_device_do_normalize = Option("supports_mm_device_do_normalize")
supports_tower_connector_lora = Option("supports_tower_connector_lora")
requires_raw_input_tokens = Option("requires_raw_input_tokens")
