"""From sound to text: clips of a sound, each with the prompt that the model's class writes, and the texts together."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, get_args

from triptych.capabilities import (
    SpeechTask,
    SpeechToTextConfig,
    SpeechToTextParams,
    supports_explicit_language_detection,
    supports_segment_timestamp,
    supports_transcription,
)
from triptych.errors import CapabilityError, InputError, OptionError, Problem, suggest
from triptych.inputs.folder import read_json_if_any
from triptych.inputs.media.audio import Waveform, read_audio
from triptych.inputs.media.clips import clips
from triptych.inputs.media.reading import DATA_URL
from triptych.inputs.media.sound_files import SoundInput, read_sound
from triptych.inputs.prompt import Prompt
from triptych.inputs.tokenizer import Tokenizer
from triptych.registry import spec_files
from triptych.runner.options import SamplingOptions
from triptych.runner.request import Request
from triptych.runner.transcript import Marks
from triptych.runner.transcript import Transcript as Form
from triptych.spec.merge import load_tree
from triptych.tasks.attempts import Attempts, Progress
from triptych.tasks.fallback import Fallback
from triptych.tasks.in_turn import answers_in_turn
from triptych.tasks.model import Model
from triptych.tasks.transcript import Segment, Transcript, segments_of


def transcribe(
    asked: Asked,
    sound: SoundInput,
    *,
    language: str | None,
    prompt: str,
    fallback: Fallback,
    in_turn: bool,
    max_batch: int,
    progress: Progress | None,
) -> Transcript:
    """What is said in a sound. Options and what is raised are those of `Model.transcribe`."""
    samples, rate = asked.read(sound), asked.config.sample_rate
    pieces = [*clips(samples, asked.config)]
    language = asked.speech.validate_language(language) or asked.detected(pieces[0][1])
    prompts = [asked.prompt(piece, language, "" if in_turn else prompt) for _, piece in pieces]
    tell = counter(progress, len(pieces))
    if in_turn:
        answers = answers_in_turn(asked, prompts, fallback, before=asked.before(prompt), tell=tell)
    else:
        answers = Attempts(asked, prompts, fallback, max_batch, tell).answers()
    parts = [(first / rate, (first + len(piece)) / rate) for first, piece in pieces]
    texts = [asked.text(tokens) for tokens in answers]
    found = [segment for part, tokens in zip(parts, answers, strict=True) for segment in asked.segments(tokens, *part)]
    space = "" if language in asked.speech.no_space_languages else " "
    return Transcript(space.join(filter(None, texts)), language, len(samples) / rate, tuple(found))


@dataclass(frozen=True)
class Asked:
    """A model that writes down speech, and how it is asked to. `facts` are its config and settings of generation."""

    model: Model
    speech: Any  # a class as SupportsTranscription
    tokenizer: Tokenizer
    facts: Mapping[str, Any]
    config: SpeechToTextConfig
    task: SpeechTask
    timestamps: bool

    @classmethod
    def of(cls, model: Model, *, task: SpeechTask, timestamps: bool) -> Asked:
        """Raises CapabilityError for what the model cannot do, OptionError for a task that there is not."""
        speech = model.module
        if not supports_transcription(speech):
            able = ", ".join(name for name, path in spec_files().items() if load_tree(path).get("transcription"))
            raise CapabilityError(f"{model.name} writes down no speech; of the registered specs these do: {able}")
        if task not in (known := get_args(SpeechTask)):
            raise OptionError(f"no task {task!r}{suggest(task, known)}", path="task")
        if timestamps and not supports_segment_timestamp(speech):
            raise CapabilityError(f"{model.name} does not tell when something is said")
        if model.tokenizer is None:
            raise CapabilityError(f"{model.name} came without a tokenizer, which writes its prompts")
        facts = {**model.config, **_settings(model.folder)}
        config = speech.get_speech_to_text_config(facts, task)
        return cls(model, speech, model.tokenizer, facts, config, task, timestamps)

    def options(self, temperature: float, seed: int | None) -> SamplingOptions:
        """As many tokens as the model has room for."""
        return SamplingOptions(max_tokens=self.model.module.context or 448, temperature=temperature, seed=seed)

    @property
    def first_mark(self) -> int:
        """The token that stands for the start of a clip: it comes after the one that asks for no times."""
        return self._off + 1

    @property
    def form(self) -> Form:
        """What may be written, by the checkpoint's own settings of generation."""
        marks = None
        if self.timestamps:
            latest = self.facts.get("max_initial_timestamp_index")
            marks = Marks(self.first_mark, self._off, None if latest is None else self.first_mark + int(latest))
        never, not_first = (self._ids(name) for name in ("suppress_tokens", "begin_suppress_tokens"))
        return Form(self.model.module.vocab_size, never, not_first, marks)

    def read(self, sound: SoundInput) -> Waveform:
        """One channel at the model's rate."""
        rate, is_url = self.config.sample_rate, isinstance(sound, str) and sound.startswith(DATA_URL)
        if not isinstance(sound, str | os.PathLike) or is_url:
            (found,) = read_audio(sound, target_sr=rate)
        else:
            given = read_sound(Path(sound))
            try:
                (found,) = read_audio(given, target_sr=rate)
            except InputError as error:  # which knows the file no more
                raise InputError(Problem(each.message, str(sound)) for each in error.problems) from error
        assert found is not None
        return found

    def detected(self, piece: Waveform) -> str | None:
        """The code of the language of a clip; None for a model that knows one alone."""
        is_multilingual = getattr(self.speech, "is_multilingual", lambda _: True)
        if not supports_explicit_language_detection(self.speech) or not is_multilingual(self.facts):
            return None
        asked = self.speech.get_language_detection_prompt(piece, self.config)
        allowed = set(self.speech.get_language_token_ids(self.tokenizer) or range(self.model.module.vocab_size))
        form = Form(self.model.module.vocab_size, tuple({*range(self.model.module.vocab_size)} - allowed))
        request = Request(self._read(asked), SamplingOptions(max_tokens=1), form)
        tokens = [event.token_id for event in self.model.run([request], max_batch=1)]
        code: str = self.speech.parse_language_detection_output(tokens, self.tokenizer)
        return code

    def prompt(self, piece: Waveform, language: str | None, before: str) -> Prompt:
        """What the model is asked about a clip."""
        params = SpeechToTextParams(
            piece,
            self.config,
            self.facts,
            language=language,
            task_type=self.task,
            request_prompt=before,
            timestamps=self.timestamps,
        )
        return self._read(self.speech.get_generation_prompt(params))

    def check(self, *, hears_silence: bool, in_turn: bool) -> None:
        """Raise CapabilityError for what of these the model cannot do."""
        if hears_silence and self.speech.get_silence_token_ids(self.tokenizer) is None:
            told = f"{self.model.name} does not tell whether anything is said; leave no_speech_threshold out"
            raise CapabilityError(told)
        if in_turn and self.speech.get_previous_text_token_id(self.tokenizer) is None:
            told = f"a prompt of {self.model.name} has no place for what was said before"
            raise CapabilityError(f"{told}; leave condition_on_previous_text out")

    def before(self, text: str) -> list[int]:
        """The tokens of what was said before."""
        return self.tokenizer.encode_bare(f" {text.strip()}") if text.strip() else []

    def after(self, token_ids: Sequence[int], prompt: Prompt) -> Prompt:
        """A prompt that begins with the last of what was said before: it may take half the room that there is."""
        mark = self.speech.get_previous_text_token_id(self.tokenizer)
        if mark is None or not token_ids:
            return prompt
        most = (self.model.module.context or 448) // 2 - 1
        return replace(prompt, token_ids=(mark, *token_ids[-most:], *prompt.token_ids))

    @property
    def silence(self) -> tuple[int, int]:
        """The token after which the model tells whether anything is said, and the one for silence."""
        found: tuple[int, int] | None = self.speech.get_silence_token_ids(self.tokenizer)
        assert found is not None
        return found

    def text(self, token_ids: Sequence[int]) -> str:
        """The words among the tokens of an answer."""
        words = [token for token in token_ids if not self.timestamps or token < self.first_mark]
        found: str = self.speech.post_process_output(self.tokenizer.decode(words))
        return found.strip()

    def segments(self, token_ids: Sequence[int], start: float, end: float) -> Sequence[Segment]:
        """Those of a clip from one second to another, where times were asked for."""
        if not self.timestamps:
            return ()
        return [*segments_of(token_ids, first_mark=self.first_mark, tokenizer=self.tokenizer, start=start, end=end)]

    def _read(self, asked: Any) -> Prompt:
        """Raises CapabilityError for a prompt that has no items, its own or its encoder's."""
        given = asked if isinstance(asked, Mapping) else {}
        heard = given.get("encoder_prompt", given)
        if not isinstance(heard, Mapping) or not isinstance(items := heard.get("multi_modal_data"), Mapping):
            raise CapabilityError(f"the prompt of {self.model.name} has no multi_modal_data to hear")
        return self.model.read_items(given.get("decoder_prompt", given.get("prompt")) or "", items)

    @property
    def _off(self) -> int:
        """The token that asks for no times. Raises CapabilityError where neither settings nor tokenizer have it."""
        found = self.facts.get("no_timestamps_token_id", self.tokenizer.token_id("<|notimestamps|>"))
        if not isinstance(found, int):
            raise CapabilityError(f"{self.model.name} has no token that stands for times")
        return found

    def _ids(self, name: str) -> tuple[int, ...]:
        vocab = self.model.module.vocab_size
        return tuple(token for token in self.facts.get(name) or () if isinstance(token, int) and 0 <= token < vocab)


def counter(progress: Progress | None, total: int) -> Callable[[], None]:
    """What tells `progress` that one more of so many is done."""
    done = count(1)

    def tell() -> None:
        if progress is not None:
            progress(next(done), total)

    return tell


def _settings(folder: Path | None) -> Mapping[str, Any]:
    """The checkpoint's settings of generation, those that are set."""
    found = read_json_if_any(folder / "generation_config.json") if folder is not None else {}
    return {key: value for key, value in found.items() if value is not None}
