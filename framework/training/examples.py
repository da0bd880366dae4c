"""Prompts with their answers -> what a learner takes: packed rows, and a label for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from triptych.inputs.prompt import Prompt
from triptych.runner.checks import check_prompts
from triptych.tasks import Model
from triptych.training.learner import labels_of


class Question(Protocol):
    """A prompt with the files of its images, and what is to be said to it."""

    @property
    def prompt(self) -> str: ...

    @property
    def answer(self) -> str | None: ...

    @property
    def images(self) -> tuple[str, ...]: ...

    @property
    def kind(self) -> str | None: ...


@dataclass(frozen=True)
class Example:
    """A prompt that ends with its answer, and the tokens of that."""

    whole: Prompt
    answer: tuple[int, ...]


class Examples:
    """Examples by number, read when they are asked for: their items are kept as those of any prompt are.

    An answer ends with the token that ends a text, where the model has one. `telling` puts an error where the question
    stands.
    """

    def __init__(self, model: Model, questions: Sequence[Question], *, raw: bool, telling: Callable[..., Any]) -> None:
        self.model, self.questions, self.raw, self.telling = model, questions, raw, telling
        self.end = (min(model.end_ids),) if model.end_ids else ()

    def __len__(self) -> int:
        return len(self.questions)

    def __getitem__(self, number: int) -> Example:
        """Raises InputError for what cannot be read, or is longer than the model takes."""
        asked = self.questions[number]
        with self.telling([asked]):
            given = asked.prompt, asked.answer or "", [*asked.images]
            (prompt,), (said,) = self.model.read_with_answers(*given, raw=self.raw)
            answer = (*said, *self.end)
            whole = replace(prompt, token_ids=(*prompt.token_ids, *answer))
            check_prompts(self.model.module, [whole])
        return Example(whole, answer)


def pack(examples: Sequence[Example]) -> dict[str, Any]:
    """Examples one after the other, as `Learner.forward` takes them."""
    prompts, answers = [example.whole for example in examples], [example.answer for example in examples]
    return {"prompts": prompts, "labels": labels_of(prompts, answers)}
