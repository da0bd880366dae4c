"""Items and prompts, prepared for a model by its processor."""

from triptych.inputs.processing.budget import BatchLimits as BatchLimits
from triptych.inputs.processing.budget import BudgetWarning as BudgetWarning
from triptych.inputs.processing.budget import MultiModalBudget as MultiModalBudget
from triptych.inputs.processing.budget import get_budget as get_budget
from triptych.inputs.processing.budget import get_dummy_inputs as get_dummy_inputs
from triptych.inputs.processing.budget import get_max_tokens_per_item as get_max_tokens_per_item
from triptych.inputs.processing.building import build_processor as build_processor
from triptych.inputs.processing.cache import CacheWarning as CacheWarning
from triptych.inputs.processing.cache import ProcessorCache as ProcessorCache
from triptych.inputs.processing.cache import SenderCache as SenderCache
from triptych.inputs.processing.context import InputProcessingContext as InputProcessingContext
from triptych.inputs.processing.dummy import BaseDummyInputsBuilder as BaseDummyInputsBuilder
from triptych.inputs.processing.dummy import DummySizeWarning as DummySizeWarning
from triptych.inputs.processing.encoder_decoder import EncDecMultiModalProcessor as EncDecMultiModalProcessor
from triptych.inputs.processing.feature_extractor import SoundCutWarning as SoundCutWarning
from triptych.inputs.processing.image_processor import ImageProcessor as ImageProcessor
from triptych.inputs.processing.info import BaseProcessingInfo as BaseProcessingInfo
from triptych.inputs.processing.inputs import MultiModalInputs as MultiModalInputs
from triptych.inputs.processing.inputs import ProcessorInputs as ProcessorInputs
from triptych.inputs.processing.processor import BaseMultiModalProcessor as BaseMultiModalProcessor
from triptych.inputs.processing.receiver import ReceiverCache as ReceiverCache
from triptych.inputs.processing.slicer import load_slicer as load_slicer
from triptych.inputs.processing.spec_dummies import SpecDummyInputsBuilder as SpecDummyInputsBuilder
from triptych.inputs.processing.spec_info import SpecProcessingInfo as SpecProcessingInfo
from triptych.inputs.processing.spec_processor import SpecProcessor as SpecProcessor
