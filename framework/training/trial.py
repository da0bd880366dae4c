"""Examples that are held out: how likely a model finds their answers, and whether it gives them."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy

import torch

from triptych.training.examples import Examples, pack
from triptych.training.learner import Learner


class Trial:
    """`max_tokens` of an answer are enough to see whether it is the one that is looked for."""

    def __init__(self, examples: Examples, *, batch_size: int, max_tokens: int) -> None:
        self.examples, self.batch_size, self.max_tokens = examples, batch_size, max_tokens

    def __call__(self, learner: Learner) -> dict[str, float]:
        """The mean loss of a token of the answers, and the share of questions answered exactly, of all and by kind."""
        was_training = learner.training
        learner.eval()
        try:
            return {"eval_loss": self._loss(learner), **self._exact(learner)}
        finally:
            learner.train(was_training)

    @torch.no_grad()
    def _loss(self, learner: Learner) -> float:
        total, count = 0.0, 0
        for batch in self._batches():
            given = pack([self.examples[number] for number in batch])
            tokens = int((given["labels"] >= 0).sum())
            total, count = total + tokens * float(learner(**given)["loss"]), count + tokens
        return total / count

    def _exact(self, learner: Learner) -> dict[str, float]:
        hits, model = dict[str | None, list[bool]](), copy(self.examples.model)
        model.module = model.runs = learner.model
        for batch in self._batches():
            asked = [self.examples.questions[number] for number in batch]
            prompts, images = [each.prompt for each in asked], [[*each.images] for each in asked]
            found = model.generate(prompts, images, raw=self.examples.raw, max_tokens=self.max_tokens, temperature=0.0)
            for given, each in zip(found, asked, strict=True):
                hits.setdefault(each.kind, []).append(given.text.strip() == (each.answer or "").strip())
        by_kind = {f"eval_exact.{kind}": sum(found) / len(found) for kind, found in hits.items() if kind}
        return {"eval_exact": sum(map(sum, hits.values())) / len(self.examples), **by_kind}

    def _batches(self) -> Iterator[range]:
        count = len(self.examples)
        return (range(first, min(first + self.batch_size, count)) for first in range(0, count, self.batch_size))
