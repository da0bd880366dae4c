"""What is needed to run a request: its answer, which is empty or goes on, its form and its turn."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from triptych.inputs.tokenizer import Tokenizer
from triptych.runner.answer import Answer
from triptych.runner.checks import whole_ranges
from triptych.runner.entry import Entry
from triptych.runner.event import Log
from triptych.runner.positions import positions_of
from triptych.runner.protocols import TextGenerationModel
from triptych.runner.request import Request


@dataclass(frozen=True)
class Arrivals:
    """Makes entries for one engine: requests of at most `longest` tokens, whose answers `end_ids` end."""

    model: TextGenerationModel
    longest: int
    tokenizer: Tokenizer | None
    end_ids: AbstractSet[int]
    live: bool

    def entry(self, number: int, request: Request, log: Log) -> Entry:
        """A request as it waits, with the tokens that its log has."""
        form = request.form(self.end_ids)
        answer = Answer(
            request.options,
            limit=min(answer_limit(self.model, request), self.longest + 1 - len(request.prompt.token_ids)),
            end_ids=self.end_ids,
            tokenizer=self.tokenizer,
            live=self.live,
            form=form,
        )
        for event in log.events:
            answer.push(event.token_id)
        entry = Entry.of(number, request, answer, form, log)
        entry.whole = whole_ranges(self.model, request.prompt)
        entry.places = positions_of(self.model, request.prompt)
        return entry


def answer_limit(model: TextGenerationModel, request: Request) -> int:
    """The most tokens that the answer may have; the last one drawn is read by no layer and needs no place."""
    asked = request.options.max_tokens
    return asked if model.context is None else min(asked, model.context + 1 - len(request.prompt.token_ids))
