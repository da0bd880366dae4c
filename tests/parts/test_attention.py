"""Attention's options, each against attention without it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from triptych.parts.alibi_spec import AlibiSpec
from triptych.parts.attention import Attention
from triptych.parts.attention_spec import AttentionSpec, HeadNorms
from triptych.parts.borrowed_attention import BorrowedAttention
from triptych.parts.borrowed_attention_spec import BorrowedAttentionSpec
from triptych.parts.lending_attention import LendingAttention
from triptych.parts.lending_attention_spec import LendingAttentionSpec
from triptych.parts.log_scale_spec import LogScaleSpec
from triptych.parts.norms_spec import RmsNormSpec
from triptych.parts.rope_spec import RopeSpec
from triptych.parts.step import Step
from triptych.spec.base import PartSpec

NORM, ROPE = RmsNormSpec(eps=1e-2), RopeSpec(theta=100.0)
AFTER = HeadNorms(norm=NORM, when="after")
SIZES = {"heads": 4, "kv_heads": 2, "head_dim": 6}


def built(**fields: Any) -> Attention:
    return filled(Attention(AttentionSpec(**SIZES, **fields), width=8, key="it"))


def filled(part: Any) -> Any:
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
    gated = built(out={"gate": {"over": over, "activation": activation, "bias": bias}})
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


def test_norms_of_heads_come_before_these_are_turned_or_after() -> None:
    """Before, as queries and keys that are normed as they come; with a weight of their own for each channel."""
    first, last, bare = (built(position=p, qk_norm=n) for p, n in ((ROPE, NORM), (ROPE, AFTER), (ROPE, None)))
    step, x = Step.of([5]), rows()
    qk = bare._projected(x)[0]
    q, k = qk.split([4, 2], 1)
    for part in (first, last):
        part.load_state_dict({**part.state_dict(), **bare.state_dict()})
    turn = bare.position
    assert turn is not None
    assert first.q_norm is not None
    assert last.k_norm is not None
    torch.testing.assert_close(first._heads(x, step)[0], turn(first.q_norm(q), step))
    torch.testing.assert_close(last._heads(x, step)[1], last.k_norm(turn(k, step)))


def test_a_norm_over_all_heads_has_a_weight_for_each_of_their_channels() -> None:
    part = built(qk_norm={"norm": NORM, "over": "all"})
    q, k, _ = part._heads(rows(), Step.of([5]))
    inner = part._projected(rows())[0].split([4, 2], 1)
    assert part.q_norm is not None
    assert part.k_norm is not None
    assert (len(part.q_norm.weight), len(part.k_norm.weight)) == (24, 12)
    torch.testing.assert_close(q.flatten(1), part.q_norm(inner[0].flatten(1)))
    torch.testing.assert_close(k.flatten(1), part.k_norm(inner[1].flatten(1)))


def test_values_have_a_norm_of_their_own() -> None:
    part = built(qk_norm={"values": NORM}, value_dim=5)
    plain = built(value_dim=5)
    plain.load_state_dict({name: part.state_dict()[name] for name in plain.state_dict()})
    q, k, v = part._heads(rows(), Step.of([5]))
    assert part.v_norm is not None
    assert "q_norm" not in part._modules
    torch.testing.assert_close(
        (q, k, v), (*(plain._heads(rows(), Step.of([5]))[:2]), part.v_norm(plain._projected(rows())[1]))
    )


@pytest.mark.parametrize("norm", [None, NORM])
def test_queries_keys_and_values_are_clipped_after_norms_and_before_they_turn(norm: Any) -> None:
    part = built(position=ROPE, qk_norm={"norm": norm, "clip": 0.5})
    step, x = Step.of([5]), rows()
    qk, v = part._projected(x)
    q, k = qk.split([4, 2], 1)
    if norm:
        q, k = part._modules["q_norm"](q), part._modules["k_norm"](k)
    wanted = [part._modules["position"](each.clip(-0.5, 0.5), step) for each in (q, k)]
    torch.testing.assert_close(part._heads(x, step), (*wanted, v.clip(-0.5, 0.5)))
    assert v.abs().max() > 0.5


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"position": ROPE, "scores": {"scale": 0.7, "temperature": LogScaleSpec(beta=3.0, length=2)}},
        {"reach": {"window": 2}},
        {"reach": {"chunk": 2}},
    ],
)
def test_later_layers_look_at_what_a_layer_lends(said: dict[str, Any]) -> None:
    lender = filled(LendingAttention(LendingAttentionSpec(**SIZES, **said, leaves="here"), width=8, key="it"))
    plain = built(**said)
    plain.load_state_dict(lender.state_dict())
    spec = BorrowedAttentionSpec(left="here", heads=4, head_dim=6, **said)
    borrower = filled(BorrowedAttention(spec, width=8, key="b"))
    borrower.load_state_dict({"q.weight": plain.qkv.weight[:24], "out.weight": plain.out.weight})
    step = Step.of([3, 2])
    lent = lender(rows(), step)
    torch.testing.assert_close(lent, plain(rows(), Step.of([3, 2])))
    torch.testing.assert_close(borrower(rows(), step), lent)
    assert not said or (lent - built()(rows(), Step.of([3, 2]))).abs().max() > 1e-2


@pytest.mark.parametrize("spec", [LendingAttentionSpec, BorrowedAttentionSpec])
def test_what_is_lent_is_kept_and_so_no_row_sees_those_after_it(spec: type[PartSpec]) -> None:
    sizes = {"heads": 4, "head_dim": 6} | (
        {"kv_heads": 2, "leaves": "here"} if spec is LendingAttentionSpec else {"left": "it"}
    )
    with pytest.raises(ValueError, match=r"reach\n.*rows that are kept, and attention both ways keeps none"):
        spec.model_validate({**sizes, "reach": {"causal": False}})


def test_positions_that_add_to_scores_turn_nothing() -> None:
    part = built(position=AlibiSpec(form="root"))
    assert part.position is None
    assert (part(rows(), Step.of([5])) - built()(rows(), Step.of([5]))).abs().max() > 1e-2


def test_other_mixers_take_positions_that_turn_heads_alone() -> None:
    with pytest.raises(ValueError, match="AlibiSpec adds to scores, and here positions turn heads alone"):
        BorrowedAttentionSpec(heads=4, head_dim=6, left="it", position=AlibiSpec())


def test_a_position_says_what_it_does() -> None:
    with pytest.raises(ValueError, match="PartSpec is no PositionSpec, which says what a position does"):
        AttentionSpec(**SIZES, position=PartSpec())
