"""From a spec and a checkpoint's config to a model without memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from triptych.arguments import check_arguments
from triptych.assembly.declare import declare
from triptych.assembly.language_model import TextModel
from triptych.assembly.left_out import left_out
from triptych.assembly.mrope import MRopeModel
from triptych.assembly.multimodal import MultimodalModel
from triptych.assembly.stack import own
from triptych.assembly.states import text_class
from triptych.assembly.tower import Tower
from triptych.errors import OptionError, SpecError
from triptych.settings import WHOLE, MultiModalSettings, Stage
from triptych.spec.catalog import find_conversion, find_family
from triptych.spec.document import Tree
from triptych.spec.plan import ModelPlan, plan
from triptych.spec.pruning import pruned
from triptych.spec.tokens import TokenRule
from triptych.weights.stages import leave_out

Module = TextModel | MultimodalModel | Tower


@dataclass(frozen=True)
class Assembled:
    """A model built on meta, and the plan that it was built by."""

    module: Module
    plan: ModelPlan

    @property
    def name(self) -> str:
        """The name of the spec."""
        return self.plan.name

    @property
    def tokens(self) -> Mapping[str, TokenRule]:
        """What the spec says of placeholders, by modality."""
        return self.plan.tokens


def assemble(
    spec: str | Tree | None,
    config: Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    convert: str | None = None,
    name: str = "spec",
    multimodal: MultiModalSettings | None = None,
    stage: Stage = WHOLE,
) -> Assembled:
    """Build the model that `spec` describes for a `config`, on meta: no memory is taken for parameters.

    `spec` is a registered name, the path of a YAML file or a merged tree; None lets the config choose, and with it what
    it is converted to. `convert`: a model that writes is made one to `embed` or `classify`. `name` is what a tree is
    called in messages. `overrides` are `path.to.key=value` on top of the spec. `multimodal` may leave out towers or the
    language model; of a pipeline's `stage` only its layers are built, with the embedding and the towers on the first
    and the norm, the head and the pooler on the last. Raises SpecError with every mistake, OptionError when nothing
    would be left of the model, or of a stage.
    """
    check_arguments(
        spec=(spec, str | Tree | None),
        config=(config, Mapping),
        overrides=(overrides, Sequence),
        convert=(convert, str | None),
        multimodal=(multimodal, MultiModalSettings | None),
        stage=(stage, Stage),
    )
    if spec is None:
        spec = find_family(config)
        convert = convert or find_conversion(config, spec)
    planned = plan(spec, config, overrides=overrides, convert=convert, name=name)
    _check_stage(planned, stage)
    media = multimodal or MultiModalSettings()
    if media.video_pruning:
        planned = _pruning(planned, media.video_pruning, stage)
    with torch.device("meta"):
        absent = left_out(planned, media, stage)
        return Assembled(_module(planned, absent, stage), planned)


def _check_stage(planned: ModelPlan, stage: Stage) -> None:
    """Raise OptionError for a pipeline in which a stage would have no layer, or its first one not all it needs."""
    text = planned.language_model
    if text is None and stage.size > 1:
        raise OptionError(f"{planned.name} is a tower, which is not cut into stages", path="stage")
    if text is not None and stage.size > len(text.layers):
        layers = f"{planned.name} has {len(text.layers)} layers"
        message = f"{layers}, too few for {stage.size} stages of a layer or more; {len(text.layers)} would do"
        raise OptionError(message, path="stage")
    if text is not None and text.crosses and stage.size > 1:
        told = "layers take more from earlier ones than a stage hands on"
        raise OptionError(f"of {planned.name}, {told}; use one stage", path="stage")
    first = len(Stage(0, stage.size).layers(len(text.layers))) if text is not None else 0
    if first < planned.added:
        message = f"items are added after the first {planned.added} layers, which the first stage has to hold"
        raise OptionError(f"{message}; of {stage.size} stages it has {first}; fewer stages would do", path="stage")


def _pruning(planned: ModelPlan, rate: float, stage: Stage) -> ModelPlan:
    """The plan of a model that leaves out a share of the rows of videos. Raises OptionError where it cannot."""
    path, rule = "multimodal.video_pruning", planned.tokens.get("video")
    if planned.positions is None or rule is None or rule.told is None:
        message = (
            f"{planned.name} does not leave out rows of videos: no positions of several axes tell where others stand"
        )
        raise OptionError(f"{message}; 0 keeps them all", path=path)
    if stage.size > 1:
        raise OptionError(
            "which rows stay is known on the first stage alone; use one stage, or keep all rows", path=path
        )
    return replace(planned, tokens={**planned.tokens, "video": pruned(rule, rate)})


def _module(planned: ModelPlan, absent: Mapping[str, str], stage: Stage) -> Module:
    module = _unpooled(planned, absent, stage)
    if planned.pooler is not None and isinstance(module, Tower):
        raise SpecError("a tower gives all its rows; what is pooled is a model of tokens", path="pooler")
    if planned.pooler is not None:
        own(module, "pooler", planned.pooler.build(width=module.width), where="pooler")
        if not stage.is_last:
            leave_out(module, "pooler", "pooler")
            module.skipped.append("pooler")
    declare(module, planned)
    return module


def _unpooled(planned: ModelPlan, absent: Mapping[str, str], stage: Stage) -> Module:
    if planned.language_model is None:
        towers = list(planned.towers.values())
        if len(towers) != 1:
            raise SpecError("a spec has a `language_model`, or it is a `tower`")
        return Tower(towers[0])
    if planned.towers:
        return (MultimodalModel if planned.positions is None else MRopeModel)(planned, absent, stage)
    kind = text_class(planned.scopes[""].tree) if planned.language_model.head else TextModel
    return kind(planned.language_model, stage)
