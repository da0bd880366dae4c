"""Latent attention to chosen rows: DeepSeek-V3.2, arXiv 2512.02556; shared by layers: arXiv 2603.12201."""
# T rows, D width, H heads, R channels of the latent of keys and values, N and P channels of a head that stay and that
# turn, V width of a value, C = R + P

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from triptych.kernels.attention import Kept
from triptych.kernels.chosen import attention_to_chosen
from triptych.parts.indexer import Indexer
from triptych.parts.indexer_spec import FollowingMlaSpec, IndexedMlaSpec
from triptych.parts.mla import Mla
from triptych.parts.step import Step


class ChoosingMla(Mla):
    """Each row looks at chosen rows of its sequence, at their latents; where all are chosen, as in any other layer."""

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        low_TI = self._low(x_TD)
        q_THN, q_THP, row_T1C = self._turned(x_TD, low_TI, step)
        kept, chosen = step.store(self.key, row_T1C), self._chosen(x_TD, low_TI, step)
        if chosen is None:
            y_THV = self._attended(q_THN, q_THP, row_T1C, kept, step)
        else:
            y_THV = self._at_chosen(self._folded(q_THN, q_THP), row_T1C, kept, chosen, step)
        return self._given(x_TD, y_THV)

    def _chosen(self, x_TD: Tensor, low_TI: Tensor, step: Step) -> list[Tensor] | None:
        raise NotImplementedError

    def _at_chosen(self, q_THC: Tensor, row_T1C: Tensor, kept: Kept | None, chosen: list[Tensor], step: Step) -> Tensor:
        found = []
        for i, (start, stop) in enumerate(pairwise(step.bounds)):
            row_SC = row_T1C[start:stop, 0] if kept is None else kept.of(i, step.lengths[i])[0][0]
            q = q_THC[start:stop]
            found.append(attention_to_chosen(q, row_SC, chosen[i], past=step.spans.past[i], scale=self.scale))
        return self._values(torch.cat(found))


class IndexedMla(ChoosingMla):
    """Rows are chosen by an indexer of this layer."""

    Spec = IndexedMlaSpec

    def __init__(self, spec: IndexedMlaSpec, *, width: int, key: str) -> None:
        super().__init__(spec, width=width, key=key)
        assert spec.latents.q is not None
        self.leaves = spec.leaves
        sizes = {"width": width, "q_rank": spec.latents.q, "rope_dim": spec.rope_dim}
        self.indexer = Indexer(spec.indexer, **sizes, key=f"{key}.indexer")

    def _chosen(self, x_TD: Tensor, low_TI: Tensor, step: Step) -> list[Tensor] | None:
        chosen: list[Tensor] | None = self._modules["indexer"](x_TD, low_TI, step)
        if self.leaves is not None:
            step.left[self.leaves] = chosen
        return chosen


class FollowingMla(ChoosingMla):
    """Rows are those that an earlier layer chose."""

    Spec = FollowingMlaSpec

    def __init__(self, spec: FollowingMlaSpec, *, width: int, key: str) -> None:
        super().__init__(spec, width=width, key=key)
        self.left = spec.left

    def _chosen(self, x_TD: Tensor, low_TI: Tensor, step: Step) -> list[Tensor] | None:  # noqa: ARG002
        found: list[Tensor] | None = step.left[self.left]
        return found
