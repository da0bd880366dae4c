"""Media of a prompt: read, bounded and counted, ready for the checkpoint's processor."""

from triptych.inputs.media.audio import AudioProcessorItems as AudioProcessorItems
from triptych.inputs.media.calling import call_processor as call_processor
from triptych.inputs.media.embed_fields import DictEmbeddingItems as DictEmbeddingItems
from triptych.inputs.media.embed_fields import EmbedFields as EmbedFields
from triptych.inputs.media.embeds import AudioEmbeddingItems as AudioEmbeddingItems
from triptych.inputs.media.embeds import EmbeddingItems as EmbeddingItems
from triptych.inputs.media.embeds import ImageEmbeddingItems as ImageEmbeddingItems
from triptych.inputs.media.embeds import VideoEmbeddingItems as VideoEmbeddingItems
from triptych.inputs.media.images import ImageProcessorItems as ImageProcessorItems
from triptych.inputs.media.images import ImageSize as ImageSize
from triptych.inputs.media.items import ModalityDataItems as ModalityDataItems
from triptych.inputs.media.items import MultiModalDataItems as MultiModalDataItems
from triptych.inputs.media.items import ProcessorItems as ProcessorItems
from triptych.inputs.media.keywords import ProcessorKeywordWarning as ProcessorKeywordWarning
from triptych.inputs.media.keywords import accepted_kwargs as accepted_kwargs
from triptych.inputs.media.keywords import merge_processor_kwargs as merge_processor_kwargs
from triptych.inputs.media.limits import check_limits as check_limits
from triptych.inputs.media.limits import get_allowed_limits as get_allowed_limits
from triptych.inputs.media.parser import MultiModalDataParser as MultiModalDataParser
from triptych.inputs.media.videos import Video as Video
from triptych.inputs.media.videos import VideoProcessorItems as VideoProcessorItems
