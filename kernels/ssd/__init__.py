"""ssd: linear attention that fades, head by head (Mamba-2's state space duality; lightning attention)."""

from __future__ import annotations

from torch import Tensor

from triptych.errors import KernelError
from triptych.kernels.attention import Spans
from triptych.kernels.batches import over_batches
from triptych.kernels.ssd import reference


def ssd(
    q_TGN: Tensor, k_TGN: Tensor, v_THP: Tensor, log_decay_TH: Tensor, *, state_BHPN: Tensor, spans: Spans
) -> tuple[Tensor, Tensor]:
    """Queries and keys [T, G, N], values [T, H, P], logs of decays [T, H], none above nought -> y [T, H, P], the state.

    Head h reads group h // (H / G). A state fades before a row is added and the row reads it after. The state
    [B, H, P, N] is what each sequence goes on from. Sums are in its dtype, y in that of the values.
    Raises KernelError when the shapes do not fit together.
    """
    (T, H, P), (G, N) = v_THP.shape, k_TGN.shape[1:]
    fits = q_TGN.shape == k_TGN.shape == (T, G, N) and log_decay_TH.shape == (T, H) and not H % G
    if not fits or state_BHPN.shape != (len(spans.new), H, P, N) or spans.bounds[-1] != T:
        shapes = ", ".join(str(tuple(each.shape)) for each in (q_TGN, k_TGN, v_THP, log_decay_TH, state_BHPN))
        raise KernelError(f"ssd: {shapes} for {len(spans.new)} sequences of {spans.bounds[-1]} rows")
    return over_batches(reference.ssd, [q_TGN, k_TGN, v_THP, log_decay_TH], state_BHPN, spans=spans)
