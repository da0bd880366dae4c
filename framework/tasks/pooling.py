"""What a model that pools is for, and texts -> rows or labels of it."""

# B texts, T_i tokens of one, D width

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from triptych.capabilities import PoolingTask, get_score_type
from triptych.capabilities.tasks import SCORE_TYPE_OF_TASK
from triptych.errors import CapabilityError, InputError, Problem
from triptych.inputs.prompt import Prompt
from triptych.inputs.reader import PromptReader
from triptych.inputs.sentence import SentenceUse
from triptych.kernels.choice import AUTO, Kernels
from triptych.parts.pooler_spec import PoolerSpec
from triptych.runner.checks import check_prompts
from triptych.runner.pool import CURE, pool, pool_tokens
from triptych.runner.request import RunOptions
from triptych.tasks.prompts import Prompts
from triptych.tasks.texts import read_texts

_LACKS: dict[str, str] = {
    "embed": "gives no embeddings",
    "classify": "is no classifier",
    "token_embed": "gives no embeddings of tokens",
    "token_classify": "is no classifier of tokens",
}
_BY_SCORE: dict[str, PoolingTask] = {
    "bi-encoder": "embed",
    "cross-encoder": "classify",
    "late-interaction": "token_embed",
}
assert {task: score for score, task in _BY_SCORE.items()} == SCORE_TYPE_OF_TASK


def pooling_task(module: nn.Module) -> PoolingTask | None:
    """What a built model pools for; None for one without a pooler. Of a pooler that an author wrote, its score says."""
    if (pooler := getattr(module, "pooler", None)) is None:
        return None
    spec = getattr(pooler, "spec", None)
    if not isinstance(spec, PoolerSpec):
        return _BY_SCORE[get_score_type(module)]
    if spec.per_token:
        return "token_embed" if spec.labels is None else "token_classify"
    return "embed" if spec.labels is None else "classify"


@dataclass(frozen=True)
class Pooling:
    """A model as it pools, and how it reads texts; with `truncate` without the end of what it would not take whole."""

    module: Any
    name: str
    reader: PromptReader
    sentences: SentenceUse
    truncate: bool = False
    kernels: Kernels = AUTO

    def options(self, *, max_batch: int) -> RunOptions:
        """How it runs where it is. Raises OptionError for a number of texts that there is not."""
        first = next(self.module.parameters())
        return RunOptions(device=first.device, dtype=first.dtype, max_batch=max_batch, kernels=self.kernels)

    def check(self, task: PoolingTask) -> None:
        """Raise CapabilityError for a model that is not for this task."""
        if pooling_task(self.module) != task:
            hint = f"load(..., convert={task!r}) may do"
            raise CapabilityError(f"{self.name} as it was loaded {_LACKS[task]}; {hint}")

    def read(
        self, texts: Prompts, pairs: str | Sequence[str] | None = None, *, prompt: str | None = None
    ) -> list[Prompt]:
        """Texts, or pairs of texts, as the model takes them. Raises InputError that names every one with a mistake."""
        if not self.truncate:
            return read_texts(texts, pairs, reader=self.reader, use=self.sentences, prompt=prompt)
        longest = min((n for n in (self.sentences.longest, self.module.context) if n is not None), default=None)
        use = replace(self.sentences, longest=longest)
        return [_begin(each, longest) for each in read_texts(texts, pairs, reader=self.reader, use=use, prompt=prompt)]

    def checked(self, prompt: Prompt, name: str) -> Prompt:
        """The prompt itself. Raises InputError, under that name, for one that the model does not take."""
        try:
            check_prompts(self.module, [prompt], cure="shorten it" if self.truncate else CURE)
        except InputError as error:
            raise InputError(Problem(problem.message, name) for problem in error.problems) from None
        return prompt

    def rows_of_each(self, works: Sequence[tuple[Prompt, ...]], *, run: RunOptions) -> list[list[Tensor]]:
        """The rows of every prompt of each; a prompt that stands in several is read once."""
        unique = [*dict.fromkeys(prompt for work in works for prompt in work)]
        found = dict(zip(unique, self.rows(unique, run=run), strict=True))
        return [[found[prompt] for prompt in work] for work in works]

    def rows(self, prompts: Sequence[Prompt], *, run: RunOptions) -> list[Tensor]:
        """What the pooler gives for each prompt: a row [D], or the rows [T_i, D] of its tokens."""
        if pooling_task(self.module) in ("token_embed", "token_classify"):
            return pool_tokens(self.module, prompts, run=run)
        return [*pool(self.module, prompts, run=run)]


def _begin(prompt: Prompt, longest: int | None) -> Prompt:
    """As many token ids as may be, where they were given as such; a text was shortened before it became ids."""
    return prompt if prompt.features else replace(prompt, token_ids=prompt.token_ids[:longest])
