"""Rows of items as a model gives them, held to the places that they are to fill."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from triptych.errors import CapabilityError
from triptych.inputs.items import MultiModalFeatureSpec, MultiModalKwargsItem
from triptych.inputs.kinds import MultiModalBatchedField, MultiModalFieldElem
from triptych.inputs.placeholders import PlaceholderRange
from triptych.runner.encode import encode_items

CPU = torch.device("cpu")


class Gives:
    """A model whose items have these numbers of rows."""

    def __init__(self, counts: Sequence[int]) -> None:
        self.counts = counts

    def embed_multimodal(self, **items: Any) -> Sequence[Tensor]:  # noqa: ARG002
        return [torch.full((count, 4), float(number)) for number, count in enumerate(self.counts)]


def features(*masks: Sequence[bool]) -> list[MultiModalFeatureSpec]:
    found = []
    for number, mask in enumerate(masks):
        data = MultiModalKwargsItem({"pixels": MultiModalFieldElem(torch.zeros(3), MultiModalBatchedField())})
        place = PlaceholderRange(10 * number, len(mask), torch.tensor(mask))
        found.append(MultiModalFeatureSpec(data=data, modality="image", identifier=str(number), mm_position=place))
    return found


def test_each_item_has_as_many_rows_as_its_placeholder_takes() -> None:
    found = encode_items(Gives([2, 1]), features([True, False, True], [True]), device=CPU)
    assert [rows.shape for rows in found] == [(2, 4), (1, 4)]


def test_a_row_of_one_item_is_never_written_to_the_place_of_another() -> None:
    wanted = (
        r"^image: embed_multimodal of Gives gives 1 rows for item 0 of the call, whose placeholder takes 2; .*\n"
        r"image: embed_multimodal of Gives gives 2 rows for item 1 of the call, whose placeholder takes 1; .*$"
    )
    with pytest.raises(CapabilityError, match=wanted):
        encode_items(Gives([1, 2]), features([True, False, True], [True]), device=CPU)
