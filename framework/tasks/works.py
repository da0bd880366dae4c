"""What is done with a row of texts: how its prompts are read, and what comes of the rows that they are pooled to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from torch import Tensor

from triptych.capabilities import PoolingTask
from triptych.errors import CapabilityError
from triptych.inputs.prompt import Prompt
from triptych.tasks.model import Model
from triptych.tasks.pooling import Pooling
from triptych.tasks.score import Scorer

Row = Mapping[str, object]


class Work(Protocol):
    """One task. A row has its fields, each a text."""

    @property
    def pooling(self) -> Pooling: ...

    def read(self, row: Row) -> tuple[Prompt, ...]:
        """The prompts of a row. Raises InputError for what the model does not take."""
        ...

    def result(self, rows: Sequence[Tensor]) -> dict[str, object]:
        """What is written beside a row, of what its prompts are pooled to."""
        ...


@dataclass(frozen=True)
class Embed:
    """`embedding`, the row of a text; `embeddings`, those of its tokens, where the model is for that."""

    pooling: Pooling
    prompt: str | None = None

    def read(self, row: Row) -> tuple[Prompt, ...]:
        (found,) = self.pooling.read(str(row["text"]), prompt=self.prompt)
        return (self.pooling.checked(found, "text"),)

    def result(self, rows: Sequence[Tensor]) -> dict[str, object]:
        (found,) = rows
        return {"embedding": numbers(found)} if found.ndim == 1 else {"embeddings": [numbers(each) for each in found]}


@dataclass(frozen=True)
class Classify:
    """`labels`, the chance of each for a text or a pair; `token_labels`, those of each token."""

    pooling: Pooling
    names: Sequence[str]

    def read(self, row: Row) -> tuple[Prompt, ...]:
        pair = row.get("pair")
        (found,) = self.pooling.read(str(row["text"]), None if pair is None else str(pair))
        return (self.pooling.checked(found, "text"),)

    def result(self, rows: Sequence[Tensor]) -> dict[str, object]:
        (found,) = rows
        if found.ndim == 1:
            return {"labels": self._named(numbers(found))}
        return {"token_labels": [self._named(numbers(each)) for each in found]}

    def _named(self, chances: Sequence[float]) -> dict[str, float]:
        names = self.names if len(self.names) == len(chances) else [str(n) for n in range(len(chances))]
        return dict(zip(names, chances, strict=True))


@dataclass(frozen=True)
class Score:
    """`score`, of a query with its document."""

    scorer: Scorer

    @property
    def pooling(self) -> Pooling:
        return self.scorer.pooling

    def read(self, row: Row) -> tuple[Prompt, ...]:
        return self.scorer.read(str(row["query"]), str(row["document"]))

    def result(self, rows: Sequence[Tensor]) -> dict[str, object]:
        (found,) = numbers(self.scorer.value(rows)[None])
        return {"score": found}


def work_of(model: Model, command: str, *, task: PoolingTask | None, prompt: str | None, truncate: bool) -> Work:
    """What `embed`, `classify` or `score` does with a model; `truncate`: with the beginning of what is too long.

    Raises CapabilityError for one that is not for `task`.
    """
    pooling = replace(model.pooling, truncate=truncate)
    if command == "score":
        return Score(Scorer(pooling))
    assert task is not None
    pooling.check(task)
    return Embed(pooling, prompt) if command == "embed" else Classify(pooling, model.labels)


def numbers(found_D: Tensor) -> list[float]:
    """Numbers as JSON has them, in the nine digits that tell every float32 from every other.

    Raises CapabilityError for what is no number: an overflow in float16, say.
    """
    if not bool(found_D.isfinite().all()):
        raise CapabilityError("the model gives what is no number (inf or nan); another dtype may do")
    return [float(f"{x:.9g}") for x in found_D.tolist()]
