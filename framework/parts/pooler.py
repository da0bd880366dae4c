"""What a model for embeddings ends with: the rows of a sequence -> one."""
# T rows, B sequences, D width

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triptych.parts.activations import get_activation
from triptych.parts.parameters import Linear
from triptych.parts.pooler_spec import SequencePoolerSpec
from triptych.parts.step import Step

CHANCES: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": partial(torch.softmax, dim=-1),
    "sigmoid": torch.sigmoid,
    "none": torch.clone,
}


class SequencePooler(nn.Module):
    """normalize(projector(activation(dense(taken rows)))), or chances(out(...)) of the labels.

    What is not there is left out. `score` stands for the layer of the labels where the model itself has one.
    """

    Spec = SequencePoolerSpec

    def __init__(self, spec: SequencePoolerSpec, *, width: int, score: nn.Module | None = None) -> None:
        super().__init__()
        self.spec, self.labels = spec, spec.labels
        self.dense = Linear(width, width, bias=True) if spec.dense else None
        self._activation = get_activation(spec.dense) if spec.dense else None
        self.projector = nn.ModuleList()
        for step in spec.projector:
            self.projector.append(step.build(width=width, out=width))
            width = step.out or width
        self.out = Linear(width, spec.labels, bias=spec.bias) if spec.labels and score is None else None
        self._score = (
            score if score is not None else self.out,
        )  # in a tuple: parameters of the model's are not its own
        self.out_width = spec.labels or width

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        """Hidden rows [T, D] of packed whole sequences -> a row for each, [B, D] or [B, labels], in float32."""
        y_BD = self._taken(x_TD, step)
        if self.dense is not None and self._activation is not None:
            y_BD = self._activation(self.dense(y_BD))
        for layer in self.projector:
            y_BD, _ = layer(y_BD, [])
        if (score := self._score[0]) is not None:
            return CHANCES[self.spec.chances](score(y_BD).float())
        return F.normalize(y_BD.float(), dim=-1) if self.spec.normalize else y_BD.float()

    def _taken(self, x_TD: Tensor, step: Step) -> Tensor:
        bounds = torch.tensor(step.bounds, device=x_TD.device)
        if self.spec.take == "first":
            return x_TD[bounds[:-1]]
        if self.spec.take == "last":
            return x_TD[bounds[1:] - 1]
        found = torch.segment_reduce(x_TD.float(), self.spec.take, offsets=bounds, axis=0)
        return found.to(x_TD.dtype)
