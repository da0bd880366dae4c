"""The definition: token bounds[i] + j of a step is token computed[row] + j of the request in that row."""

# T tokens of a step, B requests of it, N groups, P pages of a request

from __future__ import annotations

import torch
from torch import Tensor

from triptych.kernels.prepare_step.table import StepInputs, StepTable


def prepare_step(packed: Tensor, table: StepTable, *, requests: int, size: int) -> StepInputs:
    rows_B, bounds = packed[:requests].long(), packed[requests:].long()
    tokens_T = torch.arange(size, device=packed.device)
    request_T = torch.searchsorted(bounds[1:], tokens_T, right=True)
    is_there_T = request_T < requests
    request_T = torch.where(is_there_T, request_T, 0)
    row_T = rows_B[request_T] if requests else request_T
    at_T = torch.where(is_there_T, table.computed[row_T] + tokens_T - bounds[request_T], 0)
    known_T = table.tokens[row_T, at_T.clamp(max=table.tokens.shape[1] - 1)].long()
    ids_T = torch.where(at_T < table.known[row_T], known_T, table.last[row_T])
    return StepInputs(
        torch.where(is_there_T, ids_T, 0),
        torch.where(is_there_T, at_T + table.delta[row_T], 0),
        torch.where(is_there_T, _slots(table, row_T, at_T), -1),
        (table.computed[rows_B] + bounds.diff()).int(),
        (bounds[1:] - 1).clamp(min=0),
    )


def _slots(table: StepTable, row_T: Tensor, at_T: Tensor) -> Tensor:
    sizes_N1 = table.page_sizes[:, None].long()
    number_NT = at_T // sizes_N1
    P = table.pages.shape[2]
    held_NT = table.pages[:, row_T].gather(2, number_NT.clamp(max=P - 1)[..., None])[..., 0].long()
    is_held_NT = (number_NT < P) & (held_NT >= 0)
    return torch.where(is_held_NT, held_NT * sizes_N1 + at_T % sizes_N1, -1)
