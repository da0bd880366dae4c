"""How Whisper is asked to write down what it hears: by tokens for the language, the task and times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from triptych import (
    LANGUAGES,
    ExplicitEncoderDecoderPrompt,
    InputError,
    SpeechTask,
    SpeechToTextConfig,
    SpeechToTextParams,
    SupportsTranscription,
)

CODES = (
    "en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur hr bg lt la mi ml "
    "cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn yo so af oc ka be tg sd gu am "
    "yi lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt haw ln ha ba jw su yue"
)
ROWS_PER_SECOND = 50
SILENCE = ("<|nospeech|>", "<|nocaptions|>")  # as newer and older files call it
MULTILINGUAL = 51_865  # tokens, of the smallest vocabulary that has languages in it


class WhisperTranscription(SupportsTranscription):
    """It hears clips of half a minute, finds out the language, and marks when each segment begins and ends."""

    supported_languages: ClassVar[Mapping[str, str]] = {code: LANGUAGES[code] for code in CODES.split()}
    supports_transcription_only: ClassVar[bool] = True
    supports_segment_timestamp: ClassVar[bool] = True
    supports_explicit_language_detection: ClassVar[bool] = True

    @classmethod
    def get_generation_prompt(cls, stt_params: SpeechToTextParams) -> ExplicitEncoderDecoderPrompt:
        """Raises InputError for a model of English alone that is asked for more."""
        before = f"<|startofprev|> {stt_params.request_prompt.strip()}" if stt_params.request_prompt else ""
        asked = f"{before}<|startoftranscript|>{cls._words(stt_params)}"
        end = "" if stt_params.timestamps else "<|notimestamps|>"
        return _prompt(stt_params.audio, stt_params.stt_config, asked + end)

    @classmethod
    def _words(cls, params: SpeechToTextParams) -> str:
        """The tokens for language and task, which a model of English alone does without."""
        if cls.is_multilingual(params.model_config):
            if params.language is None:
                raise InputError("the language of the speech is not given, and was not found out", path="language")
            return f"<|{params.language}|><|{params.task_type}|>"
        if params.language not in (None, "en"):
            raise InputError(f"this model knows English alone, not {params.language!r}", path="language")
        if params.task_type != "transcribe":
            raise InputError("this model knows English alone, and translates nothing", path="task")
        return ""

    @classmethod
    def is_multilingual(cls, model_config: Mapping[str, Any]) -> bool:
        """Whether there is a language to tell, by the settings of generation, else by the size of the vocabulary."""
        said = model_config.get("is_multilingual")
        return bool(int(model_config.get("vocab_size", 0)) >= MULTILINGUAL if said is None else said)

    @classmethod
    def get_speech_to_text_config(cls, model_config: Mapping[str, Any], task_type: SpeechTask) -> SpeechToTextConfig:  # noqa: ARG003
        rows = int(model_config.get("max_source_positions", 30 * ROWS_PER_SECOND))
        return SpeechToTextConfig(max_audio_clip_s=max(1, rows // ROWS_PER_SECOND))

    @classmethod
    def get_num_audio_tokens(
        cls,
        audio_duration_s: float,  # noqa: ARG003
        stt_config: SpeechToTextConfig,  # noqa: ARG003
        model_config: Mapping[str, Any],
    ) -> int | None:
        """As many for a short clip as for a long one: silence fills it up."""
        return int(model_config.get("max_source_positions", 30 * ROWS_PER_SECOND))

    @classmethod
    def get_language_detection_prompt(
        cls, audio: np.ndarray, stt_config: SpeechToTextConfig
    ) -> ExplicitEncoderDecoderPrompt:
        return _prompt(audio, stt_config, "<|startoftranscript|>")

    @classmethod
    def get_language_token_ids(cls, tokenizer: Any) -> list[int] | None:
        found = (tokenizer.token_id(f"<|{code}|>") for code in cls.supported_languages)
        return [token for token in found if token is not None]

    @classmethod
    def get_previous_text_token_id(cls, tokenizer: Any) -> int | None:
        found: int | None = tokenizer.token_id("<|startofprev|>")
        return found

    @classmethod
    def get_silence_token_ids(cls, tokenizer: Any) -> tuple[int, int] | None:
        start = tokenizer.token_id("<|startoftranscript|>")
        silence = next((i for word in SILENCE if (i := tokenizer.token_id(word)) is not None), None)
        return None if start is None or silence is None else (start, silence)

    @classmethod
    def parse_language_detection_output(cls, token_ids: list[int], tokenizer: Any) -> str:
        """Raises InputError for what is no language."""
        codes = {tokenizer.token_id(f"<|{code}|>"): code for code in cls.supported_languages}
        if not token_ids or token_ids[0] not in codes:
            raise InputError("the model names no language; say which it is", path="language")
        return codes[token_ids[0]]


def _prompt(audio: np.ndarray, config: SpeechToTextConfig, text: str) -> ExplicitEncoderDecoderPrompt:
    heard = {"prompt": "", "multi_modal_data": {"audio": (audio, config.sample_rate)}}
    return {"encoder_prompt": heard, "decoder_prompt": text}
