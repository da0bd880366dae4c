"""Models that write down speech."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from typing_extensions import is_protocol

from triptych.capabilities.members import declared
from triptych.capabilities.predicates import CapabilityWarning, Flagged, Option
from triptych.capabilities.speech import (
    DiarizedSegment,
    ExplicitEncoderDecoderPrompt,
    SpeechPrompt,
    SpeechTask,
    SpeechToTextConfig,
    SpeechToTextParams,
    StreamingPostProcessor,
    Verbatim,
)
from triptych.capabilities.speech_languages import LANGUAGES
from triptych.errors import CapabilityError, InputError, Problem, suggest

if TYPE_CHECKING:
    import numpy as np


@runtime_checkable
class SupportsTranscription(Protocol):
    """A speech model. A class says which languages it knows, and writes the prompt that asks for the text."""

    supported_languages: ClassVar[Mapping[str, str]]
    """Code -> name, of codes in LANGUAGES."""

    supports_transcription: ClassVar[Literal[True]] = True
    supports_transcription_only: ClassVar[bool] = False
    """It cannot generate other text."""
    supports_segment_timestamp: ClassVar[bool] = False
    """It can say when each segment begins and ends."""
    supports_diarized_transcription: ClassVar[bool] = False
    """It can say who speaks; `parse_diarized_transcript` is then its own to write."""
    supports_explicit_language_detection: ClassVar[bool] = False
    """It finds the language in a pass of its own; the three methods for it are then its own to write."""
    no_space_languages: ClassVar[AbstractSet[str]] = frozenset({"ja", "zh"})
    """Codes of languages whose pieces are joined without a space."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Raises CapabilityError for a class without languages, and with codes that LANGUAGES does not have."""
        super().__init_subclass__(**keywords)
        if not is_protocol(cls):
            _check_languages(cls)

    @classmethod
    @declared
    def get_generation_prompt(
        cls, stt_params: SpeechToTextParams
    ) -> str | Sequence[int] | SpeechPrompt | ExplicitEncoderDecoderPrompt:
        """The prompt that makes the model write down (or translate) the audio of `stt_params`."""
        ...

    @classmethod
    def get_other_languages(cls) -> dict[str, str]:
        """Code -> name of the languages that are known and that this model does not list."""
        return {code: name for code, name in LANGUAGES.items() if code not in cls.supported_languages}

    @classmethod
    def validate_language(cls, language: str | None) -> str | None:
        """The code itself, None too; warns of one that this model does not list.

        Raises InputError for one that is not known at all.
        """
        if language is None or language in cls.supported_languages:
            return language
        if language not in LANGUAGES:
            code = next((code for code, name in LANGUAGES.items() if language.lower() in (code, name.lower())), None)
            near = suggest(language, cls.supported_languages) if code is None else f"; did you mean {code!r}?"
            raise InputError(f"{language!r} is no code of a language that {cls.__qualname__} takes{near}")
        told = f"{cls.__qualname__} does not list {language!r} ({LANGUAGES[language]}); the text may be less accurate"
        warnings.warn(f"{told}{suggest('', cls.supported_languages)}", CapabilityWarning, stacklevel=2)
        return language

    @classmethod
    def get_speech_to_text_config(cls, model_config: Any, task_type: SpeechTask) -> SpeechToTextConfig:  # noqa: ARG003
        """How audio is cut for this model: 16 kHz, clips of 30 s, if not written."""
        return SpeechToTextConfig()

    @classmethod
    def get_num_audio_tokens(
        cls,
        audio_duration_s: float,  # noqa: ARG003
        stt_config: SpeechToTextConfig,  # noqa: ARG003
        model_config: Any,  # noqa: ARG003
    ) -> int | None:
        """How many tokens audio of that many seconds becomes, without running the model; None where it cannot tell."""
        return None

    @classmethod
    def post_process_output(cls, text: str) -> str:
        """The transcript in a generated text: all of it, if not written."""
        return text

    @classmethod
    def get_previous_text_token_id(cls, tokenizer: Any) -> int | None:  # noqa: ARG003
        """The token after which a prompt begins with the tokens of what was said before; None, if not written."""
        return None

    @classmethod
    def get_silence_token_ids(cls, tokenizer: Any) -> tuple[int, int] | None:  # noqa: ARG003
        """The token of a prompt after which the model tells whether anything is said, and the one that tells it is not.

        None for a model that does not tell it, if not written.
        """
        return None

    @classmethod
    def get_streaming_post_processor_cls(cls) -> type[StreamingPostProcessor]:
        """What cleans a transcript piece by piece: nothing is changed, if not written."""
        return Verbatim

    @classmethod
    @declared
    def parse_diarized_transcript(cls, text: str) -> Sequence[DiarizedSegment]:
        """The segments in a generated text, in order. For `supports_diarized_transcription`."""
        ...

    @classmethod
    @declared
    def get_language_detection_prompt(cls, audio: np.ndarray, stt_config: SpeechToTextConfig) -> Any:
        """The prompt after which the model names the language. For `supports_explicit_language_detection`."""
        ...

    @classmethod
    @declared
    def parse_language_detection_output(cls, token_ids: list[int], tokenizer: Any) -> str:
        """The language's code in what that prompt gave. For `supports_explicit_language_detection`."""
        ...

    @classmethod
    @declared
    def get_language_token_ids(cls, tokenizer: Any) -> list[int] | None:
        """The tokens that stand for languages, no other being allowed. For `supports_explicit_language_detection`."""
        ...


supports_transcription = Flagged[SupportsTranscription]("supports_transcription")
supports_transcription_only = Option("supports_transcription_only")
supports_segment_timestamp = Option("supports_segment_timestamp")
supports_diarized_transcription = Option("supports_diarized_transcription")
supports_explicit_language_detection = Option("supports_explicit_language_detection")


def _check_languages(cls: type) -> None:
    listed = getattr(cls, "supported_languages", None)
    if listed is None:
        raise CapabilityError(f"{cls.__qualname__} transcribes and has no supported_languages (code -> name)")
    wrong = [code for code in listed if code not in LANGUAGES]
    if wrong:
        raise CapabilityError(
            Problem(f"{code!r} is no known code of a language{suggest(code, LANGUAGES)}", path)
            for code in wrong
            for path in [f"{cls.__qualname__}.supported_languages"]
        )
