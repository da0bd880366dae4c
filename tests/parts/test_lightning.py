"""Linear attention that fades: at which rates."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers.models.bloom.modeling_bloom import _get_alibi_slopes

from triptych.assembly import assemble
from triptych.parts.lightning import Lightning
from triptych.parts.lightning_spec import LightningSpec


def rates(part: Lightning) -> list[float]:
    found: list[float] = part._rates(torch.empty(0)).tolist()
    return found


@pytest.mark.parametrize("heads", [1, 2, 3, 5, 12, 16, 24])
def test_slopes_of_alibi_are_those_of_the_reference(heads: int) -> None:
    part = Lightning(
        LightningSpec(heads=heads, head_dim=4, fading=0.5, out={"eps": 0}, slopes="alibi"), width=8, key=""
    )
    assert rates(part) == pytest.approx((0.5 * _get_alibi_slopes(heads, torch.device("cpu"))).tolist())


@pytest.mark.parametrize(
    ("writer", "wanted"), [("minimax", "even"), ("minimax_text_01", "alibi"), ("minimax_m1", "alibi")]
)
def test_minimax_fades_as_its_writer_has_it(writer: str, wanted: str) -> None:
    config: dict[str, Any] = {"model_type": writer, "num_hidden_layers": 2, "postnorm": True}
    found = [m for m in assemble(None, config).module.modules() if isinstance(m, Lightning)]
    assert [m.spec.slopes for m in found] == [wanted]
