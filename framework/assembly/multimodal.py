"""Towers, projectors and a language model as one model."""

# T tokens, D width of the language model, N rows of items

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from triptych.assembly.language_model import LanguageModel, TextModel
from triptych.assembly.stack import own
from triptych.assembly.tower import Projector, Tower
from triptych.errors import InputError, SpecError, suggest
from triptych.parts.cache_needs import Rows
from triptych.parts.grid import Grid
from triptych.parts.step import Step
from triptych.spec.base import PartSpec
from triptych.spec.plan import ModelPlan


class MultimodalModel(nn.Module):
    """A model with towers. `get_language_model()` is the text model inside."""

    supports_multimodal = True
    supports_multimodal_embeddings = True

    def __init__(self, plan: ModelPlan) -> None:
        super().__init__()
        assert plan.language_model is not None
        self.towers = nn.ModuleDict()
        for name, tower in plan.towers.items():
            own(self.towers, name, Tower(tower), where=f"towers.{name}")
        self.language_model = LanguageModel(plan.language_model)
        self.projectors = nn.ModuleDict()
        for name, steps in plan.projectors.items():
            own(self.projectors, name, self._projector(plan, name, steps), where=f"projectors.{name}")
        self._items = dict(plan.items)
        self._targets = {modality: rule.target for modality, rule in plan.tokens.items()}
        children: Mapping[str, nn.Module] = {f"towers.{n}": t for n, t in self.towers.items()}
        children = {**children, "language_model": self.language_model}
        self.skipped = [f"{path}.{name}" for path, child in children.items() for name in child.skipped]  # type: ignore[union-attr]

    def _projector(self, plan: ModelPlan, name: str, steps: Sequence[tuple[str, str, PartSpec]]) -> Projector:
        if name not in self.towers:
            raise SpecError(f"no tower {name!r} gives it rows{suggest(name, self.towers)}", path=f"projectors.{name}")
        width, out = int(self.towers[name].out_width), self.language_model.width  # type: ignore[arg-type]
        projector = Projector(steps, width=width, out=out, key=f"projectors.{name}")
        if projector.out_width != out:
            message = f"gives rows of {projector.out_width}; the language model takes {out}"
            place = plan.scopes[""].tree["projectors"].values_at.get(name)
            raise SpecError(message, path=f"projectors.{name}", place=place)
        return projector

    @property
    def width(self) -> int:
        return self.language_model.width

    @property
    def vocab_size(self) -> int:
        return self.language_model.vocab_size

    @property
    def context(self) -> int | None:
        return self.language_model.context

    def cache_needs(self) -> dict[str, Rows]:
        return self.language_model.cache_needs()

    def get_placeholder_str(self, modality: str, i: int) -> str | None:
        """The text that stands for any item of a modality in a prompt; None for one that the model does not take."""
        del i  # all items of a modality are written alike
        return self._targets.get(modality)

    def get_language_model(self) -> TextModel:
        return self.language_model

    def embed_multimodal(self, **items: Sequence[Tensor]) -> list[Tensor]:
        """Rows [n_i, D] of each item, modality by modality, through its tower and projector.

        Raises InputError for a modality without a tower and, before the tower runs, for items that do not fit the
        schema that the spec states for them.
        """
        found: list[Tensor] = []
        for modality, given in items.items():
            if modality not in self.towers:
                raise InputError(f"this model has no tower for {modality!r}{suggest(modality, self.towers)}")
            if (schema := self._items.get(modality)) is not None:
                schema.check(given, modality=modality)
            found += self._projected(modality, *self.towers[modality](given))
        return found

    def _projected(self, modality: str, rows: list[Tensor], grids: list[Grid]) -> list[Tensor]:
        if modality not in self.projectors:
            return rows
        x_ND, after = self.projectors[modality](torch.cat(rows), grids)
        same = len(x_ND) == sum(map(len, rows))
        return list(x_ND.split([len(r) for r in rows] if same else [g.rows for g in after]))

    def embed_input_ids(
        self,
        input_ids: Tensor,
        multimodal_embeddings: Sequence[Tensor] | Tensor | None = None,
        *,
        is_multimodal: Tensor | None = None,
    ) -> Tensor:
        """As the language model's: embeddings [T, D] of ids [T] with the items' rows in their places."""
        return self.language_model.embed_input_ids(input_ids, multimodal_embeddings, is_multimodal=is_multimodal)

    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        *,
        step: Step,
        intermediate_tensors: None = None,
        inputs_embeds: Tensor | None = None,
    ) -> Tensor:
        """Hidden rows [T, D] of the language model."""
        found: Tensor = self.language_model(
            input_ids, positions, step=step, intermediate_tensors=intermediate_tensors, inputs_embeds=inputs_embeds
        )
        return found

    def compute_logits(self, hidden_states: Tensor) -> Tensor:
        """Logits [N, V] of hidden rows [N, D]."""
        return self.language_model.compute_logits(hidden_states)
