"""A router that chooses two experts one after the other. Liu et al. 2023, arXiv 2310.00811; GRIN, arXiv 2409.12136."""
# T rows, D width, E experts

from __future__ import annotations

import torch
from torch import Tensor

from triptych.kernels.linear import linear
from triptych.parts.parameters import Part, parameter
from triptych.parts.sparse_mixer_spec import SparseMixerSpec


class SparseMixer(Part):
    """Rows [T, D] -> numbers of experts and their shares, [T, 2] each; the shares do not sum to one."""

    Spec = SparseMixerSpec

    def __init__(self, spec: SparseMixerSpec, *, width: int, experts: int) -> None:
        super().__init__()
        self.jitter = spec.jitter
        self.weight = parameter(experts, width)

    def forward(self, x_TD: Tensor) -> tuple[Tensor, Tensor]:
        scores_TE = linear(x_TD, self._parameters["weight"]).float()
        first_T1, first_share_T1 = self._best(scores_TE, scores_TE)
        second_T1, second_share_T1 = self._best(scores_TE.scatter(1, first_T1, -torch.inf), scores_TE)
        return torch.cat([first_T1, second_T1], 1), torch.cat([first_share_T1, second_share_T1], 1)

    def _best(self, left_TE: Tensor, scores_TE: Tensor) -> tuple[Tensor, Tensor]:
        """The best of those that are left, and its share among those that come near to it; both [T, 1]."""
        best_T1, chosen_T1 = left_TE.max(-1, keepdim=True)
        far_TE = (best_T1 - scores_TE) / scores_TE.abs().clamp(min=best_T1) > 2 * self.jitter
        return chosen_T1, left_TE.masked_fill(far_TE, -torch.inf).softmax(-1).gather(1, chosen_T1)
