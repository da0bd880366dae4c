"""Spec + config -> modules on meta."""

from triptych.assembly.assemble import Assembled as Assembled
from triptych.assembly.assemble import assemble as assemble
from triptych.assembly.conversion import as_embedding_model as as_embedding_model
from triptych.assembly.conversion import as_seq_cls_model as as_seq_cls_model
from triptych.assembly.inner import init_registered_model as init_registered_model
from triptych.assembly.language_model import LanguageModel as LanguageModel
from triptych.assembly.language_model import TextModel as TextModel
from triptych.assembly.multimodal import MultimodalModel as MultimodalModel
from triptych.assembly.tower import Tower as Tower
