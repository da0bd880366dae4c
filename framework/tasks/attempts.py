"""The clips of a sound as they are written down, some of them several times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import exp
from typing import TYPE_CHECKING

from triptych.inputs.prompt import Prompt
from triptych.runner.request import Request
from triptych.runner.transcript import Scores, Transcript
from triptych.tasks.fallback import Fallback

if TYPE_CHECKING:
    from triptych.tasks.transcribe import Asked

Progress = Callable[[int, int], None]


@dataclass
class Attempts:
    """A prompt for each clip, and when one is tried again; `tell` is called as each is done.

    `temperatures` are those at which the answers that stand were drawn.
    """

    asked: Asked
    prompts: Sequence[Prompt]
    fallback: Fallback
    max_batch: int
    tell: Callable[[], None] | None
    temperatures: list[float] = field(default_factory=list)
    _silences: dict[int, float] = field(default_factory=dict)

    def answers(self) -> list[list[int]]:
        """The tokens of each clip, but those that end an answer."""
        found: list[list[int]] = [[] for _ in self.prompts]
        self.temperatures = [self.fallback.temperatures[0] for _ in self.prompts]
        clips: Sequence[int] = range(len(self.prompts))
        for temperature in self.fallback.temperatures:
            poor, unsure = list[int](), list[int]()
            for clip, tokens, mean in self._attempts(clips, temperature):
                found[clip] = [token for token in tokens if token not in self.asked.model.end_ids]
                self.temperatures[clip] = temperature
                if self._is_poor(tokens, mean):
                    poor.append(clip)
                    unsure += [clip] if self.fallback.is_unsure(mean) else []
                else:
                    self._done()
            for clip in self._silent(unsure):
                found[clip] = []
                poor.remove(clip)
                self._done()
            clips = poor
        for _ in clips:
            self._done()
        return found

    def _attempts(self, clips: Sequence[int], temperature: float) -> Iterator[tuple[int, list[int], float]]:
        """Each clip as it ends, its tokens and their mean logprob."""
        scores = [Scores() for _ in clips]
        drawn: list[list[int]] = [[] for _ in clips]
        requests = [self._request(clip, temperature, each) for clip, each in zip(clips, scores, strict=True)]
        for event in self.asked.model.run(requests, max_batch=self.max_batch):
            drawn[event.request].append(event.token_id)
            if event.finish_reason is not None:
                yield clips[event.request], drawn[event.request], scores[event.request].mean(event.token_id)

    def _request(self, clip: int, temperature: float, scores: Scores) -> Request:
        seed = None if self.fallback.seed is None else self.fallback.seed + clip
        form = replace(self.asked.form, scores=scores if self.fallback.logprob is not None else None)
        return Request(self.prompts[clip], self.asked.options(temperature, seed), form)

    def _is_poor(self, tokens: Sequence[int], mean: float) -> bool:
        return self.fallback.is_poor(tokens, vocab_size=self.asked.model.module.vocab_size, mean_logprob=mean)

    def _silent(self, clips: Sequence[int]) -> list[int]:
        """Those of the clips in which nothing is said. Each is asked once, as its temperature does not matter."""
        if (most := self.fallback.silence) is None:
            return []
        self._hear([clip for clip in clips if clip not in self._silences])
        return [clip for clip in clips if self._silences[clip] > most]

    def _hear(self, clips: Sequence[int]) -> None:
        start, silence = self.asked.silence
        scores = [Scores(watched=silence) for _ in clips]
        requests = [self._up_to(start, clip, each) for clip, each in zip(clips, scores, strict=True)]
        for _ in self.asked.model.run(requests, max_batch=self.max_batch):
            pass
        for clip, each in zip(clips, scores, strict=True):
            assert each.first is not None
            self._silences[clip] = exp(each.first)

    def _up_to(self, start: int, clip: int, scores: Scores) -> Request:
        """The prompt of a clip to the last `start`, after which one token comes of all that there are."""
        ids = self.prompts[clip].token_ids
        prompt = replace(self.prompts[clip], token_ids=ids[: len(ids) - ids[::-1].index(start)])
        form = Transcript(self.asked.model.module.vocab_size, scores=scores)
        return Request(prompt, replace(self.asked.options(0.0, None), max_tokens=1, ignore_eos=True), form)

    def _done(self) -> None:
        if self.tell is not None:
            self.tell()
