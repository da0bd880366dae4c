"""Models that write down speech: languages, defaults, and what must be written."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import numpy as np
import pytest
from typing_extensions import Protocol

from triptych.capabilities import (
    LANGUAGES,
    CapabilityWarning,
    DiarizedSegment,
    SpeechToTextConfig,
    SpeechToTextParams,
    SupportsTranscription,
    capability_report,
    check_capabilities,
    supports_transcription,
    supports_transcription_only,
)
from triptych.errors import CapabilityError, InputError, MissingMemberError


class Scribe(SupportsTranscription):
    """It knows two languages."""

    supported_languages: ClassVar[dict[str, str]] = {"en": "English", "ja": "Japanese"}

    @classmethod
    def get_generation_prompt(cls, stt_params: SpeechToTextParams) -> str:
        return f"<|{stt_params.language}|><|{stt_params.task_type}|>"


def test_a_speech_model_says_its_languages_and_writes_its_prompt() -> None:
    params = SpeechToTextParams(np.zeros(4), SpeechToTextConfig(), model_config=None, language="en")
    assert Scribe.get_generation_prompt(params) == "<|en|><|transcribe|>"
    assert supports_transcription(Scribe)
    assert not supports_transcription_only(Scribe)
    check_capabilities(Scribe)


def test_class_creation_fails_for_codes_outside_the_table_naming_each() -> None:
    with pytest.raises(CapabilityError) as raised:
        type("Odd", (SupportsTranscription,), {"supported_languages": {"en": "", "jp": "", "xx": ""}})
    first, second = str(raised.value).splitlines()
    assert first.startswith("Odd.supported_languages: 'jp' is no known code of a language; known: af, am, ")
    assert second.startswith("Odd.supported_languages: 'xx' is no known code of a language")


@pytest.mark.parametrize("body", [{}, {"supported_languages": None}])
def test_missing_languages_give_the_same_error_class(body: dict[str, Any]) -> None:
    with pytest.raises(CapabilityError, match="Silent transcribes and has no supported_languages"):
        type("Silent", (SupportsTranscription,), body)


def test_an_interface_that_extends_it_needs_no_languages() -> None:
    class Finer(SupportsTranscription, Protocol):
        pass

    class Model(Finer):
        supported_languages: ClassVar[dict[str, str]] = {"de": "German"}

    assert supports_transcription(Model)


def test_a_subclass_may_have_other_languages() -> None:
    class Polyglot(Scribe):
        supported_languages = LANGUAGES

    assert Polyglot.get_other_languages() == {}
    assert Scribe.get_other_languages() == {k: v for k, v in LANGUAGES.items() if k not in ("en", "ja")}


def test_known_languages_have_codes_and_names() -> None:
    assert len(LANGUAGES) == 100
    assert all(re.fullmatch("[a-z]{2,3}", code) for code in LANGUAGES)
    assert len(set(LANGUAGES.values())) == 100
    assert LANGUAGES["yue"] == "Cantonese"


@pytest.mark.parametrize("language", [None, "en", "ja"])
def test_no_language_and_a_listed_one_pass(language: str | None) -> None:
    assert Scribe.validate_language(language) == language


def test_a_known_language_that_is_not_listed_warns() -> None:
    with pytest.warns(CapabilityWarning, match=r"Scribe does not list 'de' \(German\).*; known: en, ja"):
        assert Scribe.validate_language("de") == "de"


@pytest.mark.parametrize("language", ["xx", "", "English"])
def test_an_unknown_language_fails(language: str) -> None:
    with pytest.raises(InputError, match=f"{language!r} is no code of a language that Scribe takes"):
        Scribe.validate_language(language)


def test_audio_is_cut_into_clips_by_default() -> None:
    config = Scribe.get_speech_to_text_config(None, "transcribe")
    assert (config.sample_rate, config.max_audio_clip_s, config.overlap_chunk_second) == (16_000, 30, 1)
    assert config.min_energy_split_window_size == 1_600
    assert config.allow_audio_chunking


@pytest.mark.parametrize("name", ["max_audio_clip_s", "min_energy_split_window_size"])
def test_chunking_only_if_clip_and_window_are_set(name: str) -> None:
    assert not SpeechToTextConfig(**{name: None}).allow_audio_chunking


def test_defaults_leave_the_text_alone() -> None:
    assert Scribe.get_num_audio_tokens(3.0, SpeechToTextConfig(), None) is None
    assert Scribe.post_process_output(" a  b ") == " a  b "
    stream = Scribe.get_streaming_post_processor_cls()()
    assert [stream.process_delta("a", False), stream.process_delta("", True)] == ["a", ""]
    assert Scribe.no_space_languages == {"ja", "zh"}
    assert not any((Scribe.supports_segment_timestamp, Scribe.supports_diarized_transcription))


METHODS = {
    "parse_diarized_transcript": ("",),
    "get_language_detection_prompt": (None, None),
    "parse_language_detection_output": ([], None),
    "get_language_token_ids": (None,),
}
FLAG_OF = dict.fromkeys(METHODS, "supports_explicit_language_detection") | {
    "parse_diarized_transcript": "supports_diarized_transcription"
}


@pytest.mark.parametrize("name", METHODS)
def test_methods_that_not_every_model_has_fail_unless_implemented(name: str) -> None:
    with pytest.raises(MissingMemberError, match=f"Scribe declares SupportsTranscription; it has no {name}"):
        getattr(Scribe, name)(*METHODS[name])


@pytest.mark.parametrize("name", METHODS)
def test_a_flag_whose_methods_are_not_implemented_fails_at_registration(name: str) -> None:
    flagged = type("Flagged", (Scribe,), {FLAG_OF[name]: True})
    with pytest.raises(CapabilityError, match=f"Flagged has {FLAG_OF[name]} = True, and lacks .*{name}"):
        check_capabilities(flagged)


def test_a_flag_whose_methods_are_implemented_is_verified() -> None:
    class Diarizing(Scribe):
        supports_diarized_transcription = True

        @classmethod
        def parse_diarized_transcript(cls, text: str) -> list[DiarizedSegment]:
            return [DiarizedSegment(0.0, 1.0, "A", text)]

    check_capabilities(Diarizing)
    assert capability_report(Diarizing)["supports_diarized_transcription"] == "verified"
    assert Diarizing.parse_diarized_transcript("yes")[0].text == "yes"
