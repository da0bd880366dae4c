"""A stack on tokens: ids or embeddings of packed sequences -> hidden rows, and with a head -> logits."""

# T tokens, D width, N rows, V vocabulary

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from typing_extensions import TypeIs

from triptych.assembly.embedded import embed_and_merge
from triptych.assembly.merge import mask_placeholders, merge_embeddings
from triptych.assembly.stack import Stack
from triptych.capabilities.eagle import EagleModelMixin, SupportsEagle3
from triptych.capabilities.pipeline import IntermediateTensors
from triptych.errors import InputError, OptionError, SpecError, StageError
from triptych.parts.step import Step
from triptych.settings import WHOLE, Stage
from triptych.spec.stack import StackPlan
from triptych.weights.stages import leave_out, make_empty_intermediate_tensors_factory

HIDDEN = "hidden_states"  # what a stage hands to the next
Hidden = Tensor | IntermediateTensors | tuple[Tensor, list[Tensor]]  # the end's rows; what goes on; with rows of layers


class TextModel(Stack, EagleModelMixin):
    """The text model of a spec without a head: it gives rows, which a pooler may take further.

    Rows of items are added after the first `added` layers too: for each, they are so much wider than those of tokens.
    """

    supports_multimodal_embeddings = True
    supports_pp = True

    def __init__(self, plan: StackPlan, stage: Stage = WHOLE, *, added: int = 0) -> None:
        super().__init__(plan, stage)
        self.stage, self.added = stage, added
        self.context = plan.context
        self.leaves = hasattr(self.embed, "leave")  # something for the layers, beside the rows that enter
        self.vocab_size: int = self.embed.vocab
        self.skipped.append("head")
        tied = getattr(plan.head, "tied", False)
        for path in () if stage.is_first else _without_embedding(self.embed, tied=tied and stage.is_last):
            leave_out(self, path, "embedding")
            self.skipped.append(path)

    @property
    def item_width(self) -> int:
        """The width of a row of an item."""
        return self.width * (1 + self.added)

    def embed_input_ids(
        self,
        input_ids: Tensor,
        multimodal_embeddings: Sequence[Tensor] | Tensor | None = None,
        *,
        is_multimodal: Tensor | None = None,
    ) -> Tensor:
        """Embeddings [T, D] of ids [T]; rows where `is_multimodal` [T] is true become those of the items, in order.

        The rows of items are [n_i, D] each, or one [items, n, D]. Where they are added after layers too, D is
        `item_width` with items: what is added to a token of text is nought. Raises InputError when they differ from the
        true places in number, are of another width or no floats, or come without a mask; StageError on a later stage.
        """
        if not self.stage.is_first:
            raise StageError(f"ids are embedded on the first stage, and this is {self.stage}")
        items = None if multimodal_embeddings is None or len(multimodal_embeddings) == 0 else multimodal_embeddings
        if items is not None and is_multimodal is not None and not self.added:
            merged_TD = embed_and_merge(self.embed, input_ids, items, is_multimodal)
            if merged_TD is not None:
                return merged_TD
        if is_multimodal is not None:
            input_ids = mask_placeholders(input_ids, is_multimodal)
        x_TD: Tensor = self.embed.lookup(input_ids)
        if items is None:
            return x_TD
        if is_multimodal is None:
            raise InputError("embeddings of items are given without the mask of their places")
        x_TD = pad(x_TD, (0, self.item_width - self.width)) if self.added else x_TD
        # What each layer has of a token beside its row stays that of id 0, as Gemma 3n has it where items stand.
        merge_embeddings(x_TD[:, : self.item_width], items, is_multimodal)
        return x_TD

    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        *,
        step: Step,
        intermediate_tensors: IntermediateTensors | None = None,
        inputs_embeds: Tensor | None = None,
    ) -> Hidden:
        """Hidden rows [T, D] after the final norm, of ids [T] or embeddings [T, D] cut into sequences by `step`.

        Embeddings of `item_width` hold beside each row what is added to it after the first layers.
        A stage of a pipeline but the first reads `intermediate_tensors` in place of ids, each but the last returns
        them. Where rows of layers are asked for, by `set_aux_hidden_state_layers`, a list of them stands beside those
        of the end. Raises StageError where what an earlier stage sends is not there, and where the first is given some.
        """
        added = list[Tensor]()
        if self._has_earlier(intermediate_tensors):
            x_TD = intermediate_tensors[HIDDEN]
        else:
            if inputs_embeds is None:
                assert input_ids is not None
                inputs_embeds = self.embed_input_ids(input_ids)
            if self.added and inputs_embeds.shape[-1] == self.item_width:
                inputs_embeds, *added = torch.split(inputs_embeds, self.width, -1)
            if self.leaves:
                inputs_embeds = self.embed.leave(inputs_embeds, step)
            x_TD = self.embed(inputs_embeds, positions, step.types)
        if self.aux_hidden_state_layers:
            return self._with_aux(x_TD, step, intermediate_tensors, added)
        if self.loops > 1:
            return self._looped(x_TD, step)
        for layer, more_TD in zip_longest(self.layers, added):
            x_TD = layer(x_TD, step) if more_TD is None else layer(x_TD, step) + more_TD
        x_TD = self.ended(x_TD)
        return x_TD if self.stage.is_last else IntermediateTensors({HIDDEN: x_TD})

    def _looped(self, x_TD: Tensor, step: Step) -> Tensor:
        """All layers several times over, then the norm."""
        for step.loop in range(self.loops):
            for layer in self.layers:
                x_TD = layer(x_TD, step)
        return self.ended(x_TD)

    def keep_aux_hidden_state_layers(self, layers: Iterable[int]) -> None:
        """Hand out the rows that go into these layers (and L: that come out of the last). Raises OptionError."""
        wanted, count = [*layers], len(self.layers)
        if wanted and self.loops > 1:
            raise OptionError(f"layers are gone through {self.loops} times, and have rows of as many moments")
        if wanted and max(wanted) > count:
            raise OptionError(f"there is no layer {max(wanted)} to hand out rows of; {count}, the end, is the last")
        super().keep_aux_hidden_state_layers(wanted)

    def _with_aux(self, x_TD: Tensor, step: Step, given: IntermediateTensors | None, added: Sequence[Tensor]) -> Hidden:
        """The rest of `forward` where rows of layers are handed out too, in a loop of its own: the other is hot."""
        here = self.stage.layers(len(self.layers))
        earlier, own = self.aux_of_earlier_stages(given, first_layer=here.start), list[Tensor]()
        if self.stage.is_first:
            self.add_aux_hidden_state(own, layer=0, x_NH=x_TD, residual=None)
        for number in here:
            x_TD = self.layers[number](x_TD, step)
            x_TD = x_TD + added[number] if number < len(added) else x_TD
            self.add_aux_hidden_state(own, layer=number + 1, x_NH=x_TD, residual=None)
        if self.stage.is_last:
            return self.ended(x_TD), [*earlier, *own]
        sent = self.aux_for_later_stages(earlier, first_layer=0) | self.aux_for_later_stages(
            own, first_layer=here.start
        )
        return IntermediateTensors({HIDDEN: x_TD, **sent})

    def make_empty_intermediate_tensors(
        self, batch_size: int, dtype: torch.dtype, device: torch.device
    ) -> IntermediateTensors:
        """Zeros [batch_size, D] under the name of the rows that a stage hands to the next."""
        return make_empty_intermediate_tensors_factory([HIDDEN], self.width)(batch_size, dtype, device)

    def _has_earlier(self, given: IntermediateTensors | None) -> TypeIs[IntermediateTensors]:
        """Whether the rows come from an earlier stage. Raises StageError where that and what is given disagree."""
        if self.stage.is_first and given is not None:
            raise StageError("the first stage has none before it; give it ids or embeddings")
        if not self.stage.is_first and given is None:
            raise StageError(f"{self.stage} goes on from what the one before returns; give it as intermediate_tensors")
        return given is not None

    def get_language_model(self) -> TextModel:
        return self

    @torch.no_grad()
    def embed_multimodal(self, **items: Sequence[Tensor]) -> list[Tensor]:
        """A text model takes none. Raises InputError."""
        raise InputError(f"this model takes text only; it has no tower for {', '.join(items)}")


class LanguageModel(TextModel, SupportsEagle3):
    """The text model of a spec, with its head, which the last stage of a pipeline has."""

    def __init__(self, plan: StackPlan, stage: Stage = WHOLE, *, added: int = 0) -> None:
        super().__init__(plan, stage, added=added)
        if plan.head is None:
            raise SpecError("a model that writes text has a head", path="language_model.head")
        self.head = plan.head.build(vocab=self.vocab_size, width=plan.width, embed=self.embed)
        if not stage.is_last:
            leave_out(self, "head", "head")
        elif not self.head.tied:
            self.skipped.remove("head")

    def compute_logits(self, hidden_states: Tensor) -> Tensor:
        """Logits [N, V] of hidden rows [N, D]. Raises StageError on a stage but the last."""
        logits: Tensor = self.head(hidden_states)
        return logits


def _without_embedding(embed: nn.Module, *, tied: bool) -> list[str]:
    """What a stage does without that embeds no ids: all of it, or all but the rows that a tied head reads."""
    return [f"embed.{name}" for name, _ in embed.named_children() if name != "tokens"] if tied else ["embed"]
