"""Positions of several axes, and the items whose rows are thinned out."""

# N tokens, D axes of positions, H hidden size

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from triptych.capabilities.members import declared
from triptych.capabilities.predicates import Flagged, Proven

if TYPE_CHECKING:
    from torch import Tensor

    from triptych.capabilities.multimodal import MultiModalEmbeddings


@runtime_checkable
class SupportsMRoPE(Protocol):
    """A model whose tokens stand at positions of D axes (time, height, width)."""

    supports_mrope: ClassVar[Literal[True]] = True

    @declared
    def get_mrope_input_positions(self, input_tokens: list[int], mm_features: Sequence[Any]) -> tuple[Tensor, int]:
        """Positions [D, N] of a prompt's tokens, and what to add to a later token's index to get its position.

        `mm_features` are the items of the prompt, each with its place in it.
        """
        ...


@runtime_checkable
class SupportsMultiModalPruning(Protocol):
    """A model that drops rows of items while it embeds them, and moves the positions behind accordingly."""

    supports_multimodal_pruning: ClassVar[Literal[True]] = True
    supported_video_pruning_methods: ClassVar[tuple[str, ...]] = ("evs",)

    @declared
    def recompute_mrope_positions(
        self,
        input_ids: list[int] | Tensor,
        multimodal_embeddings: MultiModalEmbeddings,
        mrope_positions: Tensor,
        num_computed_tokens: int,
    ) -> tuple[MultiModalEmbeddings, Tensor, int]:
        """For ids [N]: the rows [n_i, H] that stay, positions [3, N] from token `num_computed_tokens` on, the delta."""
        ...


supports_mrope = Proven[SupportsMRoPE]("supports_mrope")
supports_multimodal_pruning = Flagged[SupportsMultiModalPruning]("supports_multimodal_pruning")
