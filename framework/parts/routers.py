"""Routers: rows [T, D] -> numbers of experts and their shares, [T, K] each; shares in float32."""
# T rows, D width, E experts, K of them chosen for a row, N groups of G experts

from __future__ import annotations

import torch
from torch import Tensor

from triptych.kernels.linear import linear
from triptych.parts.parameters import Part, parameter
from triptych.parts.routers_spec import GroupedSpec, TopKSpec


class TopK(Part):
    """Which experts each row goes to, by a softmax over all of them; the largest share first."""

    Spec = TopKSpec

    def __init__(self, spec: TopKSpec, *, width: int, experts: int) -> None:
        super().__init__()
        self.spec = spec
        self.weight = parameter(experts, width)
        self.bias = parameter(experts) if spec.bias else None

    def forward(self, x_TD: Tensor) -> tuple[Tensor, Tensor]:
        spec, own = self.spec, self._parameters
        logits_TE = linear(x_TD, own["weight"], own.get("bias")).float()
        shares_TK, chosen_TK = _bounded(logits_TE, spec.softcap).softmax(-1).topk(spec.k)
        if spec.normalize:
            shares_TK = shares_TK / shares_TK.sum(-1, keepdim=True)
        return chosen_TK, shares_TK


class Grouped(Part):
    """Which experts each row goes to, by scores that a correction of each balances, out of the best groups.

    DeepSeek-V2, arXiv 2405.04434, section 2.2.2 (groups); DeepSeek-V3, arXiv 2412.19437, section 2.1.2 (sigmoid,
    correction).
    """

    Spec = GroupedSpec

    def __init__(self, spec: GroupedSpec, *, width: int, experts: int) -> None:
        super().__init__()
        self.spec = spec
        self.weight = parameter(experts, width)
        self.bias = parameter(experts) if spec.bias else None
        self.correction = parameter(experts) if spec.correction else None

    def forward(self, x_TD: Tensor) -> tuple[Tensor, Tensor]:
        spec, own = self.spec, self._parameters
        bias = own.get("bias")
        logits_TE = linear(x_TD.float(), own["weight"].float(), None if bias is None else bias.float())
        logits_TE = _bounded(logits_TE, spec.softcap)
        scores_TE = logits_TE.softmax(-1) if spec.score == "softmax" else logits_TE.sigmoid()
        correction = own.get("correction")
        choice_TE = scores_TE if correction is None else scores_TE + correction.float()
        chosen_TK = self._in_best_groups(choice_TE).topk(spec.k).indices
        shares_TK = scores_TE.gather(1, chosen_TK)
        if spec.normalize:
            shares_TK = shares_TK / shares_TK.sum(-1, keepdim=True).clamp(min=spec.least)
        return chosen_TK, shares_TK * spec.scale

    def _in_best_groups(self, choice_TE: Tensor) -> Tensor:
        """The scores, those of experts in other groups below all."""
        groups = self.spec.groups
        if groups.best == groups.count:
            return choice_TE
        choice_TNG = choice_TE.view(len(choice_TE), groups.count, -1)
        scores_TN = choice_TNG.topk(1 if groups.score == "best" else 2).values.sum(-1)
        others_TN = torch.ones_like(scores_TN, dtype=torch.bool).scatter(1, scores_TN.topk(groups.best).indices, 0)
        return choice_TNG.masked_fill(others_TN[..., None], -torch.inf).flatten(1)


def _bounded(logits_TE: Tensor, softcap: float | None) -> Tensor:
    return logits_TE if softcap is None else softcap * torch.tanh(logits_TE / softcap)
