"""merge: rows of a table by token id, and rows of items where a mask says so."""

# T tokens, V vocabulary, N rows of items, D width

from __future__ import annotations

from torch import Tensor

from triptych.errors import KernelError
from triptych.kernels.choice import kernel_for
from triptych.kernels.merge import reference


def merge(ids_T: Tensor, table_VD: Tensor, rows_ND: Tensor, is_item_T: Tensor, *, scale: float = 1.0) -> Tensor:
    """Row ids[t] of the table times `scale`, or where `is_item` (bool) the next of the items' rows, in order -> [T, D].

    The scale is rounded to the dtype first. Ids at places of items are not looked at. There are as many rows as places
    of items: that is not checked, for it would wait for the device; a place that is left without a row is NaN.
    Raises KernelError when shapes do not fit together.
    """
    if ids_T.shape != is_item_T.shape or table_VD.shape[1:] != rows_ND.shape[1:] or ids_T.ndim != 1:
        ids, table = f"ids {tuple(ids_T.shape)}, mask {tuple(is_item_T.shape)}", f"table {tuple(table_VD.shape)}"
        raise KernelError(f"merge: {ids}, {table}, rows of items {tuple(rows_ND.shape)}")
    op = kernel_for("merge", table_VD, rows_ND) or reference
    found_TD: Tensor = op.merge(ids_T, table_VD, rows_ND, is_item_T, scale=scale)
    return found_TD
