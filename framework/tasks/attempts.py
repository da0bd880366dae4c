"""The clips of a sound as they are written down, some of them several times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from triptych.inputs.prompt import Prompt
from triptych.runner.request import Request
from triptych.runner.transcript import Scores
from triptych.tasks.fallback import Fallback

if TYPE_CHECKING:
    from triptych.tasks.transcribe import Asked

Progress = Callable[[int, int], None]


@dataclass
class Attempts:
    """A prompt for each clip, and when one is tried again; `progress` is told how many of how many are done."""

    asked: Asked
    prompts: Sequence[Prompt]
    fallback: Fallback
    max_batch: int
    progress: Progress | None
    done: int = 0

    def answers(self) -> list[list[int]]:
        """The tokens of each clip, but those that end an answer."""
        found: list[list[int]] = [[] for _ in self.prompts]
        clips: Sequence[int] = range(len(self.prompts))
        for temperature in self.fallback.temperatures:
            is_last = temperature is self.fallback.temperatures[-1]
            poor = []
            for clip, tokens, mean in self._attempts(clips, temperature):
                found[clip] = [token for token in tokens if token not in self.asked.model.end_ids]
                if is_last or not self._is_poor(tokens, mean):
                    self._tell()
                else:
                    poor.append(clip)
            clips = poor
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

    def _tell(self) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, len(self.prompts))
