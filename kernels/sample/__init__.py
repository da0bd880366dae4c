"""sample: a token for each row of logits, the likeliest or one that is drawn, from all or from the likelier ones."""

# B rows, V vocabulary

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from triptych.errors import KernelError
from triptych.kernels.choice import kernel_for
from triptych.kernels.sample import plain


class Limits(NamedTuple):
    """What rows are drawn from, each [B], in this order; tokens as likely as the last that stays, stay too."""

    top_k: Tensor  # the so many likeliest; V or more for all
    top_p: Tensor  # the likeliest that make up this share of what is left; 1 or more for all
    min_p: Tensor  # those at least this share as likely as the likeliest; 0 for all

    def leave_out(self, vocab: int) -> list[bool]:
        """Which rows are drawn from some of their tokens alone; waits for the device."""
        listed = zip(*(each.tolist() for each in self), strict=True)
        return [top_k < vocab or top_p < 1 or min_p > 0 for top_k, top_p, min_p in listed]

    def of(self, rows: Tensor) -> Limits:
        """Those of some rows."""
        return Limits(*(each[rows] for each in self))


def sample(
    logits_BV: Tensor, state_B: Tensor, temperature_B: Tensor | None, limits: Limits | None
) -> tuple[Tensor, Tensor]:
    """A token [B], int64, of softmax(logits / temperature), limited; and the largest logit [B], NaN where there is one.

    Where the temperature is 0 (None: of all rows), the first likeliest. The draw depends on the row, its limits and its
    state (int64) alone: streams of states are those of SplitMix64, with a state for each seed and number of a token.
    Where logits are no numbers, or all -inf, some token of the vocabulary. Raises KernelError when shapes do not fit
    together.
    """
    given = [state_B, *([] if temperature_B is None else [temperature_B]), *(limits or ())]
    if any(each.shape != logits_BV.shape[:1] for each in given):
        found = ", ".join(str(tuple(each.shape)) for each in (logits_BV, *given))
        raise KernelError(f"sample: logits, states, temperatures and limits are {found}")
    op = kernel_for("sample", logits_BV) or plain
    found_B: tuple[Tensor, Tensor] = op.sample(logits_BV, state_B, temperature_B, limits)
    return found_B
