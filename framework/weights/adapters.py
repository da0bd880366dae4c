"""Which components of a model may have low-rank adapters."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cached_property

from torch import nn

from triptych.arguments import check_arguments
from triptych.capabilities.components import ComponentMap, Kind, component_map
from triptych.errors import MissingMemberError, TriptychWarning
from triptych.settings import DUMMY_OPTIONS, Settings
from triptych.weights.stages import StageMissingLayer


class AdapterWarning(TriptychWarning):
    """An adapter, or some of its tensors, has no effect on the model."""


def adapter_components(model: nn.Module, settings: Settings) -> tuple[str, ...]:
    """The prefixes of the components that may have adapters.

    Towers and projectors may when the settings ask for it and the model supports it. Warns of what the settings ask for
    and does not come about: for the model, or for projectors of which nothing counts the tokens.
    """
    check_arguments(model=(model, nn.Module), settings=(settings, Settings))
    found = Allowed(model, settings)
    if settings.adapters.tower_connector:
        for kind in ("tower", "projector"):
            if kind in found.map.kinds.values() and (why := found.why_not(kind)):
                warnings.warn(f"adapters of {kind}s are ignored: {why}", AdapterWarning, stacklevel=2)
    return tuple(prefix for prefix in found.map.kinds if not found.why_not_at(prefix))


class Allowed:
    """Which components of a model may have adapters under some settings, and why others may not."""

    def __init__(self, model: nn.Module, settings: Settings) -> None:
        self.model, self.settings = model, settings
        self.map: ComponentMap = component_map(model)

    def why_not_at(self, prefix: str) -> str:
        """Why there are none in the component of a prefix; empty when there may be."""
        if stage_name := _stage_name_at(self.model, prefix):
            return f"the {stage_name} is left out of this model"
        return self.why_not(self.map.kinds[prefix])

    def why_not(self, kind: Kind) -> str:
        if kind == "language_model":
            return ""
        if kind == "generator":
            return "generators have no adapters"
        return self._why_not_beside or ("" if kind == "tower" else self._why_no_projector)

    @cached_property
    def _why_not_beside(self) -> str:
        if not getattr(self.model, "supports_tower_connector_lora", False):
            return f"{type(self.model).__qualname__} does not set supports_tower_connector_lora"
        if not self.settings.adapters.tower_connector:
            return "adapters.tower_connector is not set"
        return "language_only is set" if self.settings.multimodal.language_only else ""

    @cached_property
    def _why_no_projector(self) -> str:
        counted = all(_counts_projector(self.model, modality) for modality in _modalities(self.model))
        return "" if counted else "get_mm_lora_token_counts counts no tokens of the projector"


def _stage_name_at(model: nn.Module, prefix: str) -> str:
    """The stage name of the placeholder at or above a prefix; empty when there is none."""
    here: nn.Module | None = model
    for step in prefix.split(".") if prefix else ():
        here = here._modules.get(step) if here is not None else None
        if isinstance(here, StageMissingLayer):
            return here.stage_name
    return ""


def _modalities(model: nn.Module) -> Iterator[str]:
    """Those that the model has a placeholder for."""
    placeholder = getattr(model, "get_placeholder_str", None)
    if callable(placeholder):
        yield from (modality for modality in DUMMY_OPTIONS if placeholder(modality, 1) is not None)


def _counts_projector(model: nn.Module, modality: str) -> bool:
    """Whether the model counts the tokens of a projector, asked about one row of no item in particular."""
    counts = getattr(model, "get_mm_lora_token_counts", None)
    if not callable(counts):
        return False
    try:
        return counts(modality=modality, mm_kwargs={}, num_mm_embeds=1)[1] is not None
    except MissingMemberError:
        return False
    except Exception:  # the author's own count may need the items; it is then believed
        return True
