"""What a model that pools ends with: the rows of a sequence -> one, or each of them -> another."""
# T rows, B sequences, N rows of either, D width

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triptych.parts.activations import get_activation
from triptych.parts.parameters import Linear
from triptych.parts.pooler_spec import PoolerSpec, SequencePoolerSpec, TokenPoolerSpec
from triptych.parts.step import Step

CHANCES: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": partial(torch.softmax, dim=-1),
    "sigmoid": torch.sigmoid,
    "none": torch.clone,
}


class _Pooler(nn.Module):
    """What both kinds end with: normalize(projector(rows)), or chances(out(projector(rows))) of the labels."""

    def __init__(self, spec: PoolerSpec, *, width: int, score: nn.Module | None = None) -> None:
        super().__init__()
        self.spec: PoolerSpec = spec
        self.labels = spec.labels
        self.projector = nn.ModuleList()
        for step in spec.projector:
            self.projector.append(step.build(width=width, out=width))
            width = step.out or width
        self.out = Linear(width, spec.labels, bias=spec.bias) if spec.labels and score is None else None
        self._score = (
            score if score is not None else self.out,
        )  # in a tuple: parameters of the model's are not its own
        self.out_width = spec.labels or width

    def _ended(self, x_ND: Tensor) -> Tensor:
        for layer in self.projector:
            x_ND, _ = layer(x_ND, [])
        if (score := self._score[0]) is not None:
            return CHANCES[self.spec.chances](score(x_ND).float())
        return F.normalize(x_ND.float(), dim=-1) if self.spec.normalize else x_ND.float()


class SequencePooler(_Pooler):
    """normalize(projector(activation(dense(taken rows)))), or chances(out(...)) of the labels.

    What is not there is left out. `score` stands for the layer of the labels where the model itself has one.
    """

    Spec = SequencePoolerSpec

    def __init__(self, spec: SequencePoolerSpec, *, width: int, score: nn.Module | None = None) -> None:
        super().__init__(spec, width=width, score=score)
        self.take = spec.take
        self.dense = Linear(width, width, bias=True) if spec.dense else None
        self._activation = get_activation(spec.dense) if spec.dense else None

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        """Hidden rows [T, D] of packed whole sequences -> a row for each, [B, D] or [B, labels], in float32."""
        y_BD = self._taken(x_TD, step)
        if self.dense is not None and self._activation is not None:
            y_BD = self._activation(self.dense(y_BD))
        return self._ended(y_BD)

    def _taken(self, x_TD: Tensor, step: Step) -> Tensor:
        bounds = torch.tensor(step.bounds, device=x_TD.device)
        if self.take == "first":
            return x_TD[bounds[:-1]]
        if self.take == "last":
            return x_TD[bounds[1:] - 1]
        found = torch.segment_reduce(x_TD.float(), self.take, offsets=bounds, axis=0)
        return found.to(x_TD.dtype)


class TokenPooler(_Pooler):
    """normalize(projector(row)) of each row, or chances(out(...)) of the labels. `score` as for sequences."""

    Spec = TokenPoolerSpec

    def __init__(self, spec: TokenPoolerSpec, *, width: int, score: nn.Module | None = None) -> None:
        super().__init__(spec, width=width, score=score)

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        """Hidden rows [T, D] -> as many, [T, D] or [T, labels], in float32."""
        del step
        return self._ended(x_TD)
