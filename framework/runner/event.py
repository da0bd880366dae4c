"""What comes of a request: its tokens one by one, and how it ends."""

from __future__ import annotations

from dataclasses import dataclass, field

from triptych.errors import TriptychError
from triptych.runner.answer import FinishReason
from triptych.runner.logprobs import PromptLogprobs, TokenLogprob


@dataclass(frozen=True)
class Event:
    """One token of one request, by its number, the text that it lets show, and why it was the last.

    Its logprob where that is asked for, and with the first token those of the prompt.
    """

    request: int
    token_id: int
    text: str
    finish_reason: FinishReason | None
    logprob: TokenLogprob | None = None
    prompt_logprobs: PromptLogprobs | None = None


@dataclass(frozen=True)
class Failure:
    """A request, by its number, that ended without its last token, and why; `of_step`: with all others of its step."""

    request: int
    error: TriptychError
    of_step: bool = False


@dataclass(eq=False)
class Log:
    """All that has come of one request; whoever waits for it reads on while the engine writes.

    A token counts from the moment that its event stands here: what was computed beyond is computed again after an
    interruption. `error` is why there will be no more of them.
    """

    events: list[Event] = field(default_factory=list)
    error: TriptychError | None = None
    cancelled: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether the last token is there."""
        return bool(self.events) and self.events[-1].finish_reason is not None

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.cancelled or self.error is not None or self.is_whole
