"""What the runner asks of models: structure alone, so that a class written by hand fits as one of a spec does."""

# T tokens of a step, B prompts, D width, V vocabulary

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from triptych.parts.cache_needs import CacheNeed
from triptych.parts.step import Step


class TextModel(Protocol):
    """What the runner asks of any model. Tokens are flat, sequences packed one after the other as `step` says."""

    @property
    def context(self) -> int | None: ...

    @property
    def vocab_size(self) -> int: ...

    def embed_input_ids(
        self,
        input_ids: Tensor,
        multimodal_embeddings: Sequence[Tensor] | None = None,
        *,
        is_multimodal: Tensor | None = None,
    ) -> Tensor: ...

    def embed_multimodal(self, **items: Any) -> Sequence[Tensor] | Tensor: ...

    def __call__(
        self, input_ids: Tensor | None, positions: Tensor, *, step: Step, inputs_embeds: Tensor | None = None
    ) -> Any: ...


class TextGenerationModel(TextModel, Protocol):
    """A model that writes."""

    def cache_needs(self) -> Mapping[str, CacheNeed]: ...

    def compute_logits(self, hidden_states: Tensor) -> Tensor: ...


class PooledModel(TextModel, Protocol):
    """A model that gives one row for a prompt."""

    @property
    def pooler(self) -> Callable[[Tensor, Step], Tensor]: ...
