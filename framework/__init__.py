"""Models as data: a model family is a YAML document; one runner runs every spec."""

from __future__ import annotations

if __name__ != "triptych":
    raise ImportError(f"import triptych, not {__name__}")

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from typing import Any

    from triptych.assembly import Assembled as Assembled
    from triptych.assembly import as_embedding_model as as_embedding_model
    from triptych.assembly import as_seq_cls_model as as_seq_cls_model
    from triptych.assembly import init_registered_model as init_registered_model
    from triptych.assembly.assemble import assemble as assemble
    from triptych.assembly.merge import merge_embeddings as merge_embeddings
    from triptych.capabilities import *
    from triptych.check import check_spec as check_spec
    from triptych.errors import *
    from triptych.inputs.batches import group_and_batch_mm_kwargs as group_and_batch_mm_kwargs
    from triptych.inputs.fields import MultiModalFieldConfig as MultiModalFieldConfig
    from triptych.inputs.items import MultiModalFeatureSpec as MultiModalFeatureSpec
    from triptych.inputs.items import MultiModalKwargsItem as MultiModalKwargsItem
    from triptych.inputs.items import MultiModalKwargsItems as MultiModalKwargsItems
    from triptych.inputs.kinds import MultiModalBatchedField as MultiModalBatchedField
    from triptych.inputs.kinds import MultiModalFieldElem as MultiModalFieldElem
    from triptych.inputs.kinds import MultiModalFlatField as MultiModalFlatField
    from triptych.inputs.kinds import MultiModalSharedField as MultiModalSharedField
    from triptych.inputs.media import *
    from triptych.inputs.nested import NestedTensors as NestedTensors
    from triptych.inputs.placeholders import PlaceholderRange as PlaceholderRange
    from triptych.inputs.processing import *
    from triptych.inputs.updates import *
    from triptych.registry import part as part
    from triptych.registry.model_info import ModelInfo as ModelInfo
    from triptych.registry.models import model as model
    from triptych.registry.models import register_model as register_model
    from triptych.registry.named import dummy_inputs as dummy_inputs
    from triptych.registry.named import processor as processor
    from triptych.registry.named import schema as schema
    from triptych.registry.named import transcription as transcription
    from triptych.registry.plugins import load_plugins as load_plugins
    from triptych.registry.processing import RegistrationWarning as RegistrationWarning
    from triptych.registry.processing import register_processor as register_processor
    from triptych.registry.resolution import ResolutionSettings as ResolutionSettings
    from triptych.registry.resolution import Resolver as Resolver
    from triptych.runner.logprobs import TokenLogprob as TokenLogprob
    from triptych.runner.options import SamplingOptions as SamplingOptions
    from triptych.schemas import *
    from triptych.settings import AdapterSettings as AdapterSettings
    from triptych.settings import MultiModalSettings as MultiModalSettings
    from triptych.settings import Settings as Settings
    from triptych.settings import Stage as Stage
    from triptych.spec.base import PartSpec as PartSpec
    from triptych.spec.item_facts import AudioFacts as AudioFacts
    from triptych.spec.item_facts import ImageFacts as ImageFacts
    from triptych.spec.item_facts import VideoFacts as VideoFacts
    from triptych.spec.models import resolver as resolver
    from triptych.tasks import *
    from triptych.weights import *


def __getattr__(name: str) -> Any:
    """What `triptych.public` lists, imported when first asked for: `import triptych` costs nothing."""
    from importlib import import_module

    where: dict[str, str] = import_module("triptych.public").WHERE
    if name not in where:
        raise AttributeError(f"module 'triptych' has no attribute {name!r}")
    found = getattr(import_module(where[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    from triptych.public import WHERE

    return sorted([*globals(), *WHERE])
