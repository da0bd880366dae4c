"""Which components of a planned model its settings leave out, and what stands for them."""

from __future__ import annotations

from collections.abc import Mapping

from triptych.capabilities.marking import LANGUAGE_MODEL, tower_stage_name
from triptych.errors import OptionError
from triptych.settings import WHOLE, MultiModalSettings, Stage
from triptych.spec.plan import ModelPlan


def left_out(plan: ModelPlan, settings: MultiModalSettings, stage: Stage = WHOLE) -> dict[str, str]:
    """The path of each component that is left out, and which setting does it. A projector goes with its tower.

    Items enter a pipeline with the ids, so that towers stand on its first stage alone.

    Raises OptionError when neither a tower nor the language model is left.
    """
    found = _absent(plan, settings, stage)
    parts = {*(f"towers.{name}" for name in plan.towers), *([LANGUAGE_MODEL] if plan.language_model else [])}
    if plan.language_model and parts <= found.keys():
        why = " and ".join(dict.fromkeys(found.values()))
        raise OptionError(f"nothing is left of {plan.name}: {why}", path="multimodal")
    return found


def stage_name_of(path: str) -> str:
    """What messages call the component at a path."""
    kind, _, name = path.partition(".")
    if kind == "towers":
        return tower_stage_name([name])
    return f"{name}_projector" if kind == "projectors" else kind


def refusal(path: str, absent: Mapping[str, str]) -> str:
    """What is left out and why, for whoever asks for it."""
    return f"the {stage_name_of(path).replace('_', ' ')} is left out of this model: {absent[path]}"


def _absent(plan: ModelPlan, settings: MultiModalSettings, stage: Stage) -> dict[str, str]:
    if plan.language_model is None:
        return {}  # a tower by itself
    found = {LANGUAGE_MODEL: settings.why_no_language_model()}
    for name in plan.towers:
        elsewhere = "" if stage.is_first else f"towers stand on the first stage, and this is {stage}"
        taken = [modality for modality, rule in plan.tokens.items() if rule.tower == name]
        found[f"towers.{name}"] = why = settings.why_no_tower(taken or [name]) or elsewhere
        if name in plan.projectors:
            found[f"projectors.{name}"] = why
    return {path: why for path, why in found.items() if why}
