"""One call of torch's fused attention, with sinks or without."""
# B sequences, N queries of each, S rows in sight, H heads, G key/value heads, K and V head widths

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

ALIGNED = 8  # channels, of which fused kernels want whole multiples


@dataclass(frozen=True, eq=False)
class Scores:
    """What scores are multiplied by, and of each head the score [H] of a sink, where there are sinks."""

    scale: float
    sinks: Tensor | None = None

    def attend(
        self,
        q_BHNK: Tensor,
        k_BGSK: Tensor,
        v_BGSV: Tensor,
        mask: Tensor | None,
        *,
        sinks_shape: tuple[int, int, int],
        one_way: bool = False,
    ) -> Tensor:
        """[B, H, N, V]; the mask is added, `one_way` is that of the same rows. `sinks_shape`: of the sinks beside q."""
        if self.sinks is None:
            return _fused(q_BHNK, k_BGSK, v_BGSV, mask, scale=self.scale, one_way=one_way)
        return self._with_sinks(q_BHNK, k_BGSK, v_BGSV, mask, self.sinks.view(sinks_shape), one_way=one_way)

    def _with_sinks(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, sinks: Tensor, *, one_way: bool
    ) -> Tensor:
        """A row of no value before the others, which a channel of its own gives the score that is asked for.

        Where no row sees later ones, a query that is dropped again stands beside it.
        """
        (K, V), more = (q.shape[-1], v.shape[-1]), -q.shape[-1] % ALIGNED or ALIGNED
        q = F.pad(q, (0, more, int(one_way), 0))
        q[..., K] = (sinks / self.scale).squeeze(-1).to(q.dtype)
        k, v = F.pad(k, (0, more, 1, 0)), F.pad(v, (0, K + more - V, 1, 0))
        k[..., 0, K] = 1
        mask = None if mask is None else F.pad(mask, (1, 0))
        return _fused(q, k, v, mask, scale=self.scale, one_way=one_way)[:, :, int(one_way) :, :V]


def _fused(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, *, scale: float, one_way: bool) -> Tensor:
    gqa = q.shape[1] != k.shape[1]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=one_way, scale=scale, enable_gqa=gqa)
