"""Step 3.5: the language model inside transformers' Step 3.7, which has no class of its own there."""

from __future__ import annotations

from transformers import GenerationMixin
from transformers.models.step3p7.configuration_step3p7 import Step3p7TextConfig
from transformers.models.step3p7.modeling_step3p7 import Step3p7PreTrainedModel, Step3p7TextModel

from tests.reference.with_head import WithHead


class Step3p5ForCausalLM(WithHead, Step3p7PreTrainedModel, GenerationMixin):
    config_class = Step3p7TextConfig
    text_model = Step3p7TextModel
