"""How Voxtral is asked to write down what it hears: by a turn of sound alone, the language and a token."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any, ClassVar

from triptych import (
    LANGUAGES,
    InputError,
    SpeechPrompt,
    SpeechTask,
    SpeechToTextConfig,
    SpeechToTextParams,
    SupportsTranscription,
)

CODES = "en es fr pt hi de nl it"  # of languages that its makers name
CLIP = 30  # seconds
ROWS = 375  # of a clip, in the prompt


class VoxtralTranscription(SupportsTranscription):
    """It hears a whole sound at once, and finds out the language while it writes."""

    supported_languages: ClassVar[Mapping[str, str]] = {code: LANGUAGES[code] for code in CODES.split()}

    @classmethod
    def get_generation_prompt(cls, stt_params: SpeechToTextParams) -> SpeechPrompt:
        """Raises InputError for a translation, and for words that were said before."""
        if stt_params.task_type != "transcribe":
            raise InputError("this model is asked in words for a translation: `generate` asks it", path="task")
        if stt_params.request_prompt:
            raise InputError("this model takes nothing that was said before", path="prompt")
        language = f"lang:{stt_params.language}" if stt_params.language else ""
        text = f"<s>[INST][BEGIN_AUDIO][AUDIO][/INST]{language}[TRANSCRIBE]"
        sound = (stt_params.audio, stt_params.stt_config.sample_rate)
        return {"prompt": text, "multi_modal_data": {"audio": sound}}

    @classmethod
    def get_speech_to_text_config(cls, model_config: Mapping[str, Any], task_type: SpeechTask) -> SpeechToTextConfig:  # noqa: ARG003
        return SpeechToTextConfig(max_audio_clip_s=None)

    @classmethod
    def get_num_audio_tokens(
        cls,
        audio_duration_s: float,
        stt_config: SpeechToTextConfig,  # noqa: ARG003
        model_config: Any,  # noqa: ARG003
    ) -> int | None:
        """Those of all its clips, of which silence fills the last."""
        return ceil(audio_duration_s / CLIP) * ROWS
