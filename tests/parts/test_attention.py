"""Attention's gate and the width of its values, against attention without them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from triptych.parts.attention import Attention
from triptych.parts.attention_spec import AttentionSpec
from triptych.parts.step import Step


def built(**fields: Any) -> Attention:
    part = Attention(AttentionSpec(heads=4, kv_heads=2, head_dim=6, **fields), width=8, key="it")
    drawn = torch.Generator().manual_seed(3)
    values = {name: torch.randn(p.shape, generator=drawn) for name, p in part.named_parameters()}
    part.load_state_dict(values, assign=True)
    return part.requires_grad_(False)


def rows() -> Tensor:
    return torch.randn(5, 8, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("activation", "formula"), [("sigmoid", torch.sigmoid), ("softplus", lambda x: x.exp().log1p())]
)
@pytest.mark.parametrize(("over", "channels"), [("head", 1), ("channel", 6)])
def test_a_gate_is_a_factor_before_the_last_matrix(
    over: str, channels: int, activation: str, formula: Any, bias: bool
) -> None:
    gated = built(gate={"over": over, "activation": activation, "bias": bias})
    plain = built()
    plain.load_state_dict({name: gated.state_dict()[name] for name in plain.state_dict()})
    plain.out = torch.nn.Identity()  # type: ignore[assignment]
    gate = rows() @ gated.gate.weight.T + (gated.gate.bias if bias else 0)  # type: ignore[union-attr]
    heads = plain(rows(), Step.of([5])).view(5, 4, 6) * formula(gate).view(5, 4, channels)
    torch.testing.assert_close(gated(rows(), Step.of([5])), heads.flatten(1) @ gated.out.weight.T)


def test_values_of_another_width() -> None:
    """The same as values of the width of a head whose last channels are noughts."""
    narrow, wide = built(value_dim=5), built()
    q_and_k, v = narrow.qkv.weight.split([36, 10])
    wide.qkv.weight[:36], wide.qkv.weight[36:] = q_and_k, 0
    wide.qkv.weight[36:].view(2, 6, 8)[:, :5] = v.view(2, 5, 8)
    wide.out.weight.view(8, 4, 6)[..., :5] = narrow.out.weight.view(8, 4, 5)
    torch.testing.assert_close(narrow(rows(), Step.of([5])), wide(rows(), Step.of([5])))
    assert narrow.cache_need is not None
    assert narrow.cache_need.widths == (6, 5)
