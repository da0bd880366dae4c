"""One request while it is in the engine."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from triptych.runner.answer import Answer
from triptych.runner.event import Log
from triptych.runner.grammar import Form
from triptych.runner.options import SamplingOptions
from triptych.runner.positions import PromptPositions
from triptych.runner.prefix import BlockNames
from triptych.runner.request import Request
from triptych.runner.transcript import TranscriptForm

UNKNOWN = -1  # a token that is drawn, and that the host does not know yet


@dataclass(eq=False)
class Entry:
    """A request with its answer so far, and where its rows are kept.

    Of its `tokens`, prompt and answer, the first `rows` are in the cache, in the pages of `tables`: all but the last
    one while it is `writing`, else those that were `read`. `slot` is its place in the sampler, None while it waits.
    `due` is the step at which its pages have to be looked at; others find its first `learned` blocks. `hidden` are rows
    of the prompt that are still to be scored. Tokens of one range in `whole` are computed in one step; `places` say
    where tokens stand, None where at their numbers. The last `ahead` tokens are drawn and not known yet; no more are
    drawn of one that is `resting`. `log` is what has come of it: all else can be made anew from there.
    """

    number: int
    request: Request
    answer: Answer
    form: Form | TranscriptForm | None
    tokens: list[int]
    names: BlockNames
    options: SamplingOptions
    log: Log = field(default_factory=Log)
    writing: bool = False
    read: int = 0
    tables: list[list[int]] = field(default_factory=list)  # for each group of mixers that forget alike
    slot: int | None = None
    ahead: int = 0
    resting: bool = False
    due: int = 0
    learned: int = 0
    hidden: list[Tensor] = field(default_factory=list)
    whole: tuple[range, ...] = ()
    places: PromptPositions | None = None

    @classmethod
    def of(cls, number: int, request: Request, answer: Answer, form: Form | TranscriptForm | None, log: Log) -> Entry:
        """One that waits. Without a seed it gets one of its own, which it keeps when it has to begin again."""
        options = request.options
        if options.seed is None:
            options = replace(options, seed=secrets.randbits(63))
            request = replace(request, options=options)
        prompt = request.prompt
        tokens = [*prompt.token_ids, *answer.token_ids]
        return cls(number, request, answer, form, tokens, BlockNames(prompt.features, prompt.blocks), options, log)

    def foresee(self) -> None:
        """A token more is drawn, and will be known later."""
        self.tokens.append(UNKNOWN)
        self.ahead += 1

    def know(self, token: int) -> None:
        """The first of the tokens that were not known."""
        self.tokens[-self.ahead] = token
        self.ahead -= 1

    def drop_last(self) -> None:
        """A token that was drawn is one too many."""
        self.tokens.pop()
        self.ahead -= 1

    @property
    def has_its_last(self) -> bool:
        """Whether the last token that it may have is drawn."""
        return len(self.tokens) - self.prompt_length >= self.answer.limit

    def up_to(self, count: int) -> int:
        """As many of the next `count` tokens as end in the middle of nothing that is computed in one step."""
        stop = self.read + count
        return next((each.start for each in self.whole if each.start < stop < each.stop), stop) - self.read

    @property
    def longest_whole(self) -> int:
        """The most tokens that have to be computed in one step."""
        return max(map(len, self.whole), default=1)

    @property
    def rows(self) -> int:
        """How many of its tokens are in the cache."""
        return len(self.tokens) - 1 if self.writing else self.read

    @property
    def prompt_length(self) -> int:
        return len(self.request.prompt.token_ids)

    @property
    def answer_ids(self) -> Sequence[int]:
        return self.answer.token_ids

    @property
    def may_reuse(self) -> bool:
        """Whether rows of others will do: not where every position of the prompt is asked for."""
        return self.options.prompt_logprobs is None
