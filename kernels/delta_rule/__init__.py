"""delta_rule: a state that fades, and in which a key's value is replaced, not added to (gated delta net, KDA)."""

from __future__ import annotations

from torch import Tensor

from triptych.errors import KernelError
from triptych.kernels.attention import Spans
from triptych.kernels.batches import over_batches
from triptych.kernels.delta_rule import reference


def delta_rule(
    q_THK: Tensor,
    k_THK: Tensor,
    v_THV: Tensor,
    log_decay_THJ: Tensor,
    beta_TH: Tensor,
    *,
    state_BHKV: Tensor,
    spans: Spans,
) -> tuple[Tensor, Tensor]:
    """Queries and keys [T, H, K], values [T, H, V], how much is replaced [T, H] -> y [T, H, V], the state after.

    Logs of decays, none above nought, are [T, H, 1] of a head or [T, H, K] of each number of its keys. The state
    [B, H, K, V] is what each sequence goes on from. Sums are in its dtype, y in that of the values.
    Raises KernelError when the shapes do not fit together.
    """
    (T, H, K), V = k_THK.shape, v_THV.shape[-1]
    fits = q_THK.shape == (T, H, K) and v_THV.shape == (T, H, V) and beta_TH.shape == (T, H)
    fits = fits and log_decay_THJ.shape in ((T, H, 1), (T, H, K)) and spans.bounds[-1] == T
    if not fits or state_BHKV.shape != (len(spans.new), H, K, V):
        given = (q_THK, k_THK, v_THV, log_decay_THJ, beta_TH, state_BHKV)
        shapes = ", ".join(str(tuple(each.shape)) for each in given)
        raise KernelError(f"delta_rule: {shapes} for {len(spans.new)} sequences of {spans.bounds[-1]} rows")
    rows = [q_THK, k_THK, v_THV, log_decay_THJ, beta_TH]
    return over_batches(reference.delta_rule, rows, state_BHKV, spans=spans)
