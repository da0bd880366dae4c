"""Towers, projectors and a language model as one model."""

# T tokens, D width of the language model, N rows of items

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from triptych.assembly.language_model import Hidden, LanguageModel, TextModel
from triptych.assembly.left_out import refusal, stage_name_of
from triptych.assembly.stack import own
from triptych.assembly.states import language_model
from triptych.assembly.tower import DeepProjector, Projector, Tower
from triptych.capabilities.components import ComponentMap
from triptych.capabilities.eagle import SupportsEagle3
from triptych.capabilities.marking import LANGUAGE_MODEL
from triptych.capabilities.pipeline import IntermediateTensors
from triptych.errors import CapabilityError, InputError, MissingMemberError, SpecError, suggest
from triptych.parts.cache_needs import CacheNeed
from triptych.parts.grid import Grid
from triptych.parts.step import Step
from triptych.schemas import check_embeds
from triptych.settings import WHOLE, Stage
from triptych.spec.plan import ModelPlan
from triptych.weights.stages import StageMissingLayer, leave_out

EMBEDS = "_embeds"  # what the keyword of rows that are encoded already ends in
GRID = "_grid"  # and that of the grids of items whose tensors do not show them
SECONDS = "_seconds"  # and that of the seconds between the moments of an item, which say where its tokens stand
TEXTS = "_texts"  # and that of the tokens of an item with the texts between its moments, where some are left out
BESIDE = (GRID, SECONDS, TEXTS)


class MultimodalModel(nn.Module, SupportsEagle3):
    """A model with towers. `get_language_model()` is the text model inside.

    `sources` are the modalities whose rows the language model looks at beside its prompt, as a decoder does its
    encoder's. `left_out` says of the path of each component that is not there which setting left it out.
    """

    supports_multimodal = True
    supports_multimodal_embeddings = True
    supports_pp = True
    supports_tower_connector_lora = True
    language_model: LanguageModel | StageMissingLayer

    def __init__(
        self, plan: ModelPlan, left_out: Mapping[str, str] = MappingProxyType({}), stage: Stage = WHOLE
    ) -> None:
        super().__init__()
        assert plan.language_model is not None
        self.left_out = dict(left_out)
        self.towers = nn.ModuleDict()
        for name, tower in plan.towers.items():
            own(self.towers, name, Tower(tower), where=f"towers.{name}")
        self.language_model = language_model(plan.language_model, stage, added=plan.added)
        self.projectors = nn.ModuleDict()
        for name in plan.projectors:
            own(self.projectors, name, self._projector(plan, name), where=f"projectors.{name}")
        self._items = dict(plan.items)
        self._rules = dict(plan.tokens)
        self.whole_items = any(rule.attend for rule in self._rules.values())
        self.sources = tuple(plan.sources)
        self._check_sources()
        stacks: Mapping[str, nn.Module] = {f"towers.{n}": t for n, t in self.towers.items()}
        stacks = {**stacks, LANGUAGE_MODEL: self.language_model}
        kept = {path: stack for path, stack in stacks.items() if path not in left_out}
        self.skipped = [*left_out, *(f"{path}.{name}" for path, stack in kept.items() for name in stack.skipped)]  # type: ignore[union-attr]
        for path in left_out:
            leave_out(self, path, stage_name_of(path))

    def _projector(self, plan: ModelPlan, name: str) -> Projector:
        if name not in self.towers:
            raise SpecError(f"no tower {name!r} gives it rows{suggest(name, self.towers)}", path=f"projectors.{name}")
        tower, steps, deep = self.towers[name], plan.projectors[name], plan.deepstack.get(name)
        assert isinstance(tower, Tower)
        out, key = self.width, f"projectors.{name}"
        if deep:
            projector: Projector = DeepProjector(steps, tower, deep=deep, out=out, key=key)
        else:
            projector = Projector(steps, width=tower.out_width, out=out, key=key)
        wanted = out * (1 + len(tower.tapped))
        if projector.out_width != wanted:
            taps = f", {len(tower.tapped)} more of them for its taps" if deep else ""
            message = f"gives rows of {projector.out_width}; the language model takes {out}{taps}"
            place = plan.scopes[""].tree["projectors"].values_at.get(name)
            raise SpecError(message, path=key, place=place)
        return projector

    def _check_sources(self) -> None:
        for name in self.sources:
            width = self.width if name in self.projectors else self.towers[name].out_width
            if width != self.width:
                message = f"gives rows of {width}; the language model looks at rows of {self.width}"
                raise SpecError(message, path=f"towers.{name}")

    @property
    def width(self) -> int:
        return int(self.language_model.width)

    @property
    def item_width(self) -> int:
        """The width of a row of an item: that of the language model, and once more for each layer it is added after."""
        return int(self.language_model.item_width)

    @property
    def vocab_size(self) -> int:
        return int(self.language_model.vocab_size)

    @property
    def context(self) -> int | None:
        found: int | None = self.language_model.context
        return found

    def cache_needs(self) -> dict[str, CacheNeed]:
        return self._text().cache_needs()

    def get_placeholder_str(self, modality: str, i: int) -> str | None:
        """The text that stands for any item of a modality in a prompt; None for one that the model does not take."""
        del i  # all items of a modality are written alike
        rule = self._rules.get(modality)
        return rule.target if rule else None

    def get_language_model(self) -> TextModel | StageMissingLayer:
        return self.language_model

    def get_mm_mapping(self) -> ComponentMap:
        """The components by their kind in the spec."""
        paths = {kind: tuple(f"{kind}.{name}" for name in getattr(self, kind)) for kind in ("towers", "projectors")}
        return ComponentMap(language_model=LANGUAGE_MODEL, **paths)

    def get_mm_lora_token_counts(
        self, *, modality: str, mm_kwargs: Mapping[str, object], num_mm_embeds: int
    ) -> tuple[int, int | None]:
        """Rows in the tower, and in the projector, of items that give `num_mm_embeds` rows; without items, of one.

        Raises MissingMemberError where the formula of the spec does not tell: the projector joins rows, say.
        """
        rule, skip = self._rules.get(modality), getattr(self.towers[self._tower_of(modality)], "skip", 0)
        largest = rule.largest({}) if rule else None
        if not rule or not largest or not rule.rows or rule.rows(largest, {}) - rule.count(largest, {}) != skip:
            raise MissingMemberError(
                f"how many rows give {num_mm_embeds} of {modality} is not told by the spec", path=f"tokens.{modality}"
            )
        items = mm_kwargs.get(modality)
        rows = num_mm_embeds + skip * (len(items) if isinstance(items, Sized) else 1)
        return rows, num_mm_embeds if self._tower_of(modality) in self.projectors else None

    def embed_multimodal(self, **items: Sequence[Tensor]) -> list[Tensor]:
        """Rows [n_i, D] of each item, modality by modality, through its tower and projector.

        Where rows are added after layers of the language model too, those stand beside the first: D is `item_width`.
        Embeds, under `image_embeds` and the like, are such rows already. `image_grid` and the like are the grids of
        the items, where the spec's size tells them. Raises InputError for a modality without a
        tower, or whose tower is left out, for items that do not fit the schema that the spec states for them, before
        the tower runs, and for embeds of another width or of no floats.
        """
        found: list[Tensor] = []
        for key, given in items.items():
            if self._tower_of(_modality_of(key)) not in self.towers:
                raise InputError(f"this model has no tower for {key!r}{suggest(key, self.towers)}")
            if key.endswith(EMBEDS):
                found += self._checked(key, given)
            elif not key.endswith(BESIDE):
                found += self._encoded(key, given, items.get(key + GRID))
        return found

    def _tower_of(self, modality: str) -> str:
        rule = self._rules.get(modality)
        return rule.tower if rule else modality

    def _checked(self, key: str, embeds: Sequence[Tensor]) -> list[Tensor]:
        check_embeds(embeds, width=self.item_width, path=key)
        return list(embeds)

    def _encoded(self, modality: str, items: Sequence[Tensor], told: Sequence[Tensor] | None) -> list[Tensor]:
        if (path := f"towers.{self._tower_of(modality)}") in self.left_out:
            raise InputError(refusal(path, self.left_out), path=modality)
        if (schema := self._items.get(modality)) is not None:
            schema.check(items, modality=modality)
        given = self._given(modality, told, count=len(items))
        rows, grids = self.towers[self._tower_of(modality)](items, *([] if given is None else [given]))
        return self._projected(modality, rows, grids if given is None else self._told(modality, grids, given))

    def _given(self, modality: str, told: Sequence[Tensor] | None, *, count: int) -> list[Grid] | None:
        """The grids as they are told; None where items show theirs."""
        rule = self._rules.get(modality)
        if rule is None or rule.told is None:
            return None
        if told is None or len(told) != count:
            message = f"the grid of each of {count} items is needed; {0 if told is None else len(told)} are given"
            raise InputError(message, path=f"{modality}{GRID}")
        return [rule.told(each.tolist()) for each in told]

    def _told(self, modality: str, grids: list[Grid], given: list[Grid]) -> list[Grid]:
        """The grids as they are told, where they fit what the tower made of the items."""
        for number, (wanted, found) in enumerate(zip(given, grids, strict=True)):
            if wanted[:3] != found[:3]:
                message = f"is told as {wanted[:3]} (pictures, rows, columns), and the item has {found[:3]}"
                raise InputError(message, path=f"{modality}{GRID}[{number}]")
        return given

    def _projected(self, modality: str, rows: list[Tensor], grids: list[Grid]) -> list[Tensor]:
        if (name := self._tower_of(modality)) not in self.projectors:
            return rows
        found_ND, after = self.projectors[name](torch.cat(rows), grids)
        same = after == grids
        x_ND: Tensor = pad(
            found_ND, (0, self.item_width - found_ND.shape[-1])
        )  # of a tower with fewer taps than another
        return list(torch.split(x_ND, [len(r) for r in rows] if same else [g.rows for g in after]))

    def embed_input_ids(
        self,
        input_ids: Tensor,
        multimodal_embeddings: Sequence[Tensor] | Tensor | None = None,
        *,
        is_multimodal: Tensor | None = None,
    ) -> Tensor:
        """As the language model's: embeddings [T, D] of ids [T] with the items' rows in their places."""
        return self._text().embed_input_ids(input_ids, multimodal_embeddings, is_multimodal=is_multimodal)

    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        *,
        step: Step,
        intermediate_tensors: IntermediateTensors | None = None,
        inputs_embeds: Tensor | None = None,
    ) -> Hidden:
        """As the language model's: hidden rows [T, D], or what a stage of it hands to the next."""
        found: Hidden = self._text()(
            input_ids, positions, step=step, intermediate_tensors=intermediate_tensors, inputs_embeds=inputs_embeds
        )
        return found

    def make_empty_intermediate_tensors(
        self, batch_size: int, dtype: torch.dtype, device: torch.device
    ) -> IntermediateTensors:
        """As the language model's: zeros [batch_size, D] for what a stage of it hands to the next."""
        return self._text().make_empty_intermediate_tensors(batch_size, dtype, device)

    def compute_logits(self, hidden_states: Tensor) -> Tensor:
        """Logits [N, V] of hidden rows [N, D]."""
        return self._text().compute_logits(hidden_states)

    def _text(self) -> LanguageModel:
        """The language model, to run it. Raises CapabilityError when it is left out."""
        if isinstance(self.language_model, StageMissingLayer):
            raise CapabilityError(refusal(LANGUAGE_MODEL, self.left_out))
        return self.language_model


def _modality_of(key: str) -> str:
    for ending in (EMBEDS, *BESIDE):
        key = key.removesuffix(ending)
    return key
