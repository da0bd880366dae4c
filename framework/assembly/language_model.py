"""A stack on tokens: ids or embeddings of packed sequences -> hidden rows, and with a head -> logits."""

# T tokens, D width, N rows, V vocabulary

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from triptych.assembly.merge import mask_placeholders, merge_embeddings
from triptych.assembly.stack import Stack
from triptych.errors import InputError, SpecError
from triptych.parts.step import Step
from triptych.spec.stack import StackPlan


class TextModel(Stack):
    """The text model of a spec without a head: it gives rows, which a pooler may take further."""

    supports_multimodal_embeddings = True

    def __init__(self, plan: StackPlan) -> None:
        super().__init__(plan)
        self.context = plan.context
        self.vocab_size: int = self.embed.vocab
        self.skipped.append("head")

    def embed_input_ids(
        self,
        input_ids: Tensor,
        multimodal_embeddings: Sequence[Tensor] | Tensor | None = None,
        *,
        is_multimodal: Tensor | None = None,
    ) -> Tensor:
        """Embeddings [T, D] of ids [T]; rows where `is_multimodal` [T] is true become those of the items, in order.

        The rows of items are [n_i, D] each, or one [items, n, D]. Raises InputError when they differ from the true
        places in number, are of another width or no floats, or come without a mask.
        """
        if is_multimodal is not None:
            input_ids = mask_placeholders(input_ids, is_multimodal)
        x_TD: Tensor = self.embed.lookup(input_ids)
        if multimodal_embeddings is None or len(multimodal_embeddings) == 0:
            return x_TD
        if is_multimodal is None:
            raise InputError("embeddings of items are given without the mask of their places")
        return merge_embeddings(x_TD, multimodal_embeddings, is_multimodal)

    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        *,
        step: Step,
        intermediate_tensors: None = None,
        inputs_embeds: Tensor | None = None,
    ) -> Tensor:
        """Hidden rows [T, D] after the final norm, of ids [T] or embeddings [T, D] cut into sequences by `step`."""
        assert intermediate_tensors is None, "a whole model has no earlier stage"
        if inputs_embeds is None:
            assert input_ids is not None
            inputs_embeds = self.embed_input_ids(input_ids)
        x_TD: Tensor = self.embed(inputs_embeds, positions, step.types)
        for layer in self.layers:
            x_TD = layer(x_TD, step)
        if self.norm is not None:
            x_TD = self.norm(x_TD)
        return x_TD

    def get_language_model(self) -> TextModel:
        return self

    @torch.no_grad()
    def embed_multimodal(self, **items: Sequence[Tensor]) -> list[Tensor]:
        """A text model takes none. Raises InputError."""
        raise InputError(f"this model takes text only; it has no tower for {', '.join(items)}")


class LanguageModel(TextModel):
    """The text model of a spec, with its head."""

    def __init__(self, plan: StackPlan) -> None:
        super().__init__(plan)
        if plan.head is None:
            raise SpecError("a model that writes text has a head", path="language_model.head")
        self.head = plan.head.build(vocab=self.vocab_size, width=plan.width, embed=self.embed)
        if not self.head.tied:
            self.skipped.remove("head")

    def compute_logits(self, hidden_states: Tensor) -> Tensor:
        """Logits [N, V] of hidden rows [N, D]."""
        logits: Tensor = self.head(hidden_states)
        return logits
