"""Packed examples -> the loss of their answers: a model as a trainer takes it, which is the model that runs."""

# T tokens of a batch, N of which are to be said, D width

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from triptych.inputs.prompt import Prompt
from triptych.kernels.choice import AUTO, Kernels, using
from triptych.kernels.cross_entropy import cross_entropy
from triptych.kernels.linear_cross_entropy import linear_cross_entropy
from triptych.parts.head import Head
from triptych.runner.reading import read_prompts, step_of
from triptych.runner.request import RunOptions

IGNORED = -100  # the label of a token after which nothing is to be said


class Learner(nn.Module):
    """The mean cross-entropy of the tokens that are to be said. `model` is the module itself, gradients and all."""

    accepts_loss_kwargs = True  # its trainer tells of how many tokens the mean is, where a step has several batches

    def __init__(self, model: nn.Module, *, kernels: Kernels = AUTO) -> None:
        super().__init__()
        self.model: Any = model
        self.kernels = kernels

    def forward(
        self, prompts: Sequence[Prompt], labels: Tensor, num_items_in_batch: Tensor | int | None = None
    ) -> dict[str, Tensor]:
        """`labels` [T] are what is said after each token of the packed prompts, IGNORED where nothing is.

        With `num_items_in_batch` the losses are summed and divided by that, else by how many there are.
        """
        weight = next(self.model.parameters())
        run = RunOptions(device=weight.device, dtype=weight.dtype, kernels=self.kernels)
        labels = labels.to(weight.device)
        said_T = labels != IGNORED
        with using(self.kernels):
            hidden_TD = read_prompts(self.model, prompts, step_of(prompts, device=run.device), run=run)
            loss = self._loss(hidden_TD[said_T], labels[said_T])
        if num_items_in_batch is not None:
            loss = loss * (said_T.sum() / num_items_in_batch)
        return {"loss": loss}

    def _loss(self, x_ND: Tensor, ids_N: Tensor) -> Tensor:
        head = getattr(self.model.get_language_model(), "head", None)
        if type(head) is not Head:
            return cross_entropy(self.model.compute_logits(x_ND), ids_N).mean()
        x_ND = x_ND if head.project is None else head.project(x_ND)
        weight, bias = head.matrix.to(x_ND.dtype), head.bias  # rows are narrower than weights under autocast
        return linear_cross_entropy(x_ND, weight, ids_N, bias=bias, scale=head.scale, softcap=head.softcap)


def labels_of(prompts: Sequence[Prompt], answers: Sequence[tuple[int, ...]]) -> Tensor:
    """The labels [T] of packed prompts, each of which ends with its answer."""
    found = list[int]()
    for prompt, answer in zip(prompts, answers, strict=True):
        before = len(prompt.token_ids) - len(answer) - 1
        found += [IGNORED] * before + [*answer, IGNORED]
    return torch.tensor(found)
