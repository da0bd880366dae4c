"""Ids and rows of items into the rows of a prompt by one kernel, where there is one."""

# T tokens, V vocabulary, N rows of items, D width

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from triptych.assembly.merge import check_count, check_mask
from triptych.kernels.choice import kernel_for, wants_kernel
from triptych.kernels.merge import merge
from triptych.parts.embed import Lookup, Tokens
from triptych.schemas import check_embeds


def embed_and_merge(
    embed: nn.Module, input_ids: Tensor, embeddings: Sequence[Tensor] | Tensor, is_multimodal: Tensor
) -> Tensor | None:
    """What look-up and `merge_embeddings` make of ids [T] and the items' rows, by one kernel where that is to run.

    None where it is not, does not take them, or gradients are taken. Raises what the two do.
    """
    if type(embed) is not Tokens or type(embed.tokens) is not Lookup or embed.project is not None:
        return None
    table_VD = embed.tokens.weight
    if torch.is_grad_enabled() or not wants_kernel("merge", table_VD):
        return None
    check_mask(is_multimodal, beside=input_ids, name="input_ids")
    check_embeds(embeddings, width=table_VD.shape[-1], path="multimodal_embeddings")
    check_count(embeddings, is_multimodal)
    rows_ND = torch.cat(list(embeddings)).to(table_VD.dtype)
    if kernel_for("merge", table_VD, rows_ND) is None:
        return None
    return merge(input_ids, table_VD, rows_ND, is_multimodal.to(input_ids.device), scale=embed.scale)
