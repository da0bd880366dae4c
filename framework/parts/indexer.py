"""The lightning indexer: to which of the rows before it a row attends. DeepSeek-V3.2, arXiv 2512.02556, section 2.1."""
# T rows, S rows in all of one sequence, D width, R q_rank, H heads, I channels of one, K rows chosen of each row

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from triptych.parts.cache_needs import Rows
from triptych.parts.indexer_spec import IndexerSpec
from triptych.parts.parameters import Linear, Part
from triptych.parts.step import Step


class Indexer(Part):
    """The best k rows by the sum over heads of weight(x) * relu(q . k).

    Its keys are kept in the cache beside those of attention. The turn by a Hadamard matrix, which the released code
    has before it rounds both to 8 bits, changes no product and is left out.
    """

    def __init__(self, spec: IndexerSpec, *, width: int, q_rank: int, rope_dim: int, key: str) -> None:
        super().__init__()
        self.spec, self.key = spec, key
        self.cache_need = Rows(1, (spec.head_dim,))
        self.scale = (spec.heads * spec.head_dim) ** -0.5
        self.q = Linear(q_rank, spec.heads * spec.head_dim, bias=False)
        self.k = Linear(width, spec.head_dim, bias=False)
        self.k_norm: nn.Module = spec.norm.build(width=spec.head_dim)
        self.weights = Linear(width, spec.heads, bias=False)
        self.position: nn.Module | None = spec.position.build(head_dim=rope_dim) if spec.position else None

    def forward(self, x_TD: Tensor, low_TR: Tensor, step: Step) -> list[Tensor] | None:
        """The numbers [T, K] of each sequence's rows that are chosen, or None where no sequence has more than k rows.

        Where K is more than the rows up to its own, a row's numbers are of later ones too, which it does not see.
        """
        own = self._modules
        q_THI = own["q"](low_TR).unflatten(-1, (self.spec.heads, -1))
        k_T1I = own["k_norm"](own["k"](x_TD))[:, None]
        if (position := own.get("position")) is not None:
            q_THI, k_T1I = position(torch.cat((q_THI, k_T1I), 1), step).split_with_sizes((self.spec.heads, 1), 1)
        kept = step.store(self.key, k_T1I)
        if max(step.lengths) <= self.spec.k:
            return None
        weights_TH, chosen = own["weights"](x_TD).float() * self.scale, list[Tensor]()
        for i, (start, stop) in enumerate(pairwise(step.bounds)):
            k_SI = k_T1I[start:stop, 0] if kept is None else kept.of(i, step.lengths[i])[0][0]
            chosen.append(self._best(q_THI[start:stop], k_SI, weights_TH[start:stop], past=step.spans.past[i]))
        return chosen

    def _best(self, q_THI: Tensor, k_SI: Tensor, weights_TH: Tensor, *, past: int) -> Tensor:
        """Rows of one sequence, of which the first comes after `past` others.

        Of equal scores, and noughts are many, the earlier row's counts as better, however a prompt is cut.
        """
        scores_HTS = torch.einsum("thi,si->hts", q_THI.float(), k_SI.float()).relu()
        scores_TS = torch.einsum("th,hts->ts", weights_TH, scores_HTS)
        later_TS = torch.ones_like(scores_TS, dtype=torch.bool).triu(past + 1)
        order_TS = scores_TS.masked_fill(later_TS, -torch.inf).sort(dim=-1, descending=True, stable=True).indices
        return order_TS[:, : self.spec.k]
