"""The processor of a model: that which its class is registered with, or the generic one where a spec describes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from triptych.arguments import check_arguments
from triptych.capabilities import supports_multimodal
from triptych.errors import CapabilityError, OptionError, PluginError, Problem, TriptychError, suggest
from triptych.inputs.processing.context import InputProcessingContext
from triptych.inputs.processing.processor import BaseMultiModalProcessor
from triptych.inputs.processing.spec_dummies import SpecDummyInputsBuilder
from triptych.inputs.processing.spec_encoder_decoder import SourceDummyInputs, SpecEncDecProcessor
from triptych.inputs.processing.spec_info import SpecProcessingInfo
from triptych.inputs.processing.spec_processor import SpecProcessor
from triptych.registry.named import get_dummy_inputs, get_processor
from triptych.registry.processing import ProcessorFactories, get_factories
from triptych.registry.sources import find_distribution
from triptych.settings import DUMMY_OPTIONS, MultiModalSettings
from triptych.spec.plan import ModelPlan


def build_processor(
    model: nn.Module | type[nn.Module], context: InputProcessingContext, *, plan: ModelPlan | None = None
) -> BaseMultiModalProcessor[Any]:
    """What prepares items for a model: context, then info, then dummy inputs, then the processor.

    `plan` is that of a model that a spec describes. Raises CapabilityError for a model that takes text only and for a
    class without a processor, InputError when the processor needs a tokenizer that is not there, OptionError for limits
    of what is no modality, PluginError when a class of a package fails.
    """
    check_arguments(context=(context, InputProcessingContext), plan=(plan, ModelPlan | None))
    if not supports_multimodal(model):
        listed = ", ".join(map(str, context.config.get("architectures") or [context.name]))
        raise CapabilityError(f"{listed} takes text only; there is no processor of items for it")
    kind = model if isinstance(model, type) else type(model)
    factories = get_factories(kind) if plan is None else _of_spec(plan)
    try:
        built = factories.build(context)
    except TriptychError:
        raise
    except Exception as error:  # of a package's own classes
        cause = f"{type(error).__name__}: {error}"
        offered_by = find_distribution(getattr(factories.processor, "__module__", ""))
        whose = f" (from {offered_by})" if offered_by not in ("", find_distribution(__name__)) else ""
        raise PluginError(f"the processor of {kind.__qualname__}{whose} cannot be built: {cause}") from error
    if not isinstance(built, BaseMultiModalProcessor):
        raise CapabilityError(
            f"the processor of {kind.__qualname__} is {type(built).__name__}, no BaseMultiModalProcessor"
        )
    _check_limits(context.settings, built.info.get_supported_mm_limits(), name=context.name or kind.__qualname__)
    return built


def _check_limits(settings: MultiModalSettings, supported: Iterable[str], *, name: str) -> None:
    """Raise OptionError for limits of what is no modality, of this model or any: a word mistyped limits nothing."""
    if unknown := settings.limits.keys() - set(supported) - DUMMY_OPTIONS.keys():
        raise OptionError(
            Problem(f"{name} takes no such items{suggest(modality, supported)}", f"limits.{modality}")
            for modality in sorted(unknown)
        )


def _of_spec(plan: ModelPlan) -> ProcessorFactories:
    generic = (SpecEncDecProcessor, SourceDummyInputs) if plan.sources else (SpecProcessor, SpecDummyInputsBuilder)
    processor: Any = get_processor(plan.processor) if plan.processor else generic[0]
    dummy: Any = get_dummy_inputs(plan.dummy_inputs) if plan.dummy_inputs else generic[1]
    return ProcessorFactories(getattr(processor, "Info", SpecProcessingInfo), dummy, processor)
