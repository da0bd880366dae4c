"""Routers by scores of groups, and what experts may have beside a gate, against the definitions written out."""
# T rows, D width, E experts, K chosen

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from triptych.parts.mlp_spec import GatedMlpSpec
from triptych.parts.moe import Moe
from triptych.parts.moe_spec import MoeSpec
from triptych.parts.norms_spec import RmsNormSpec
from triptych.parts.routers import Grouped, TopK
from triptych.parts.routers_spec import ExpertGroups, GroupedSpec, TopKSpec
from triptych.parts.step import Step

WIDTH, EXPERTS = 6, 8


def filled(part: nn.Module, *, seed: int = 0) -> nn.Module:
    draw = torch.Generator().manual_seed(seed)
    for module in part.modules():
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(torch.randn(parameter.shape, generator=draw)))
    return part


def rows(count: int = 5) -> Tensor:
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(1))


def built(spec: MoeSpec) -> Moe:
    part = filled(spec.build(width=WIDTH, key="ffn.moe"))
    assert isinstance(part, Moe)
    return part


@pytest.mark.parametrize("score", ["sigmoid", "softmax"])
@pytest.mark.parametrize("group_score", ["best", "best two"])
@pytest.mark.parametrize("normalize", [True, False])
def test_experts_are_those_that_score_best_in_the_best_groups(score: str, group_score: str, *, normalize: bool) -> None:
    spec = GroupedSpec.model_validate(
        {"k": 3, "normalize": normalize, "score": score, "groups": {"count": 4, "best": 2, "score": group_score}}
        | {"scale": 1.5, "bias": True}
    )
    part = filled(spec.build(width=WIDTH, experts=EXPERTS))
    assert isinstance(part, Grouped)
    assert part.correction is not None
    assert part.bias is not None
    for x, chosen, shares in zip(rows(), *part(rows()), strict=True):
        logits = part.weight @ x + part.bias
        scores = logits.sigmoid() if score == "sigmoid" else logits.softmax(-1)
        choice = (scores + part.correction).tolist()
        pairs = [sorted(choice[2 * g : 2 * g + 2], reverse=True) for g in range(4)]
        by_group = [pair[0] if group_score == "best" else sum(pair) for pair in pairs]
        groups = sorted(range(4), key=lambda g: -by_group[g])[:2]
        wanted = sorted((e for g in groups for e in (2 * g, 2 * g + 1)), key=lambda e: -choice[e])[:3]
        assert chosen.tolist() == wanted
        found = scores[wanted] / (scores[wanted].sum() if normalize else 1)
        torch.testing.assert_close(shares, 1.5 * found)


def test_a_sum_of_shares_counts_for_no_less_than_the_least() -> None:
    spec = GroupedSpec(k=2, normalize=True, correction=False, least=4.0)
    part = filled(spec.build(width=WIDTH, experts=EXPERTS))
    shares = part(rows())[1]
    torch.testing.assert_close(shares, (rows() @ part.weight.T).sigmoid().topk(2).values / 4)  # type: ignore[operator, union-attr]


def test_a_softcap_bounds_what_the_softmax_is_of() -> None:
    part = filled(TopKSpec(k=2, normalize=False, bias=True, softcap=0.5).build(width=WIDTH, experts=EXPERTS))
    assert isinstance(part, TopK)
    assert part.bias is not None
    logits = 0.5 * torch.tanh((rows() @ part.weight.T + part.bias) / 0.5)
    torch.testing.assert_close(part(rows())[1], logits.softmax(-1).topk(2).values)


@pytest.mark.parametrize("form", ["gated", "plain", "clamped", "inputs"])
def test_experts_are_as_their_spec_says(form: str) -> None:
    spec = MoeSpec(
        experts=EXPERTS,
        hidden=3,
        activation="relu2",
        router=TopKSpec(k=2, normalize=True),
        gated=form != "plain",
        clamp={"limit": 0.5, "alpha": 1.7} if form == "clamped" else {},
        bias=True,
        inputs={"weighed": form == "inputs"},
    )
    part = built(spec)
    assert part.gate_up_bias is not None
    assert part.down_bias is not None
    for x, found, *routed in zip(rows(), part(rows(), Step.of([5])), *part.router(rows()), strict=True):
        wanted = torch.zeros(WIDTH)
        for e, share in zip(*(r.tolist() for r in routed), strict=True):
            h = part.gate_up[e] @ (x * share if form == "inputs" else x) + part.gate_up_bias[e]
            if form == "plain":
                inside = h.relu() ** 2
            elif form == "clamped":
                gate, up = h[:3].clamp(max=0.5), h[3:].clamp(-0.5, 0.5)
                inside = (up + 1) * gate * torch.sigmoid(1.7 * gate)
            else:
                inside = h[:3].relu() ** 2 * h[3:]
            wanted += (part.down[e] @ inside + part.down_bias[e]) * (1 if form == "inputs" else share)
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("gate", [True, False])
def test_every_row_goes_through_the_shared_one_too(*, gate: bool) -> None:
    shared = GatedMlpSpec(hidden=6, activation="silu")
    spec = {"experts": EXPERTS, "hidden": 3, "activation": "silu", "router": TopKSpec(k=2, normalize=True)}
    part, plain = built(MoeSpec(**spec, shared={"mixer": shared, "gate": gate})), built(MoeSpec(**spec))  # type: ignore[arg-type]
    assert (part.shared_experts, plain.shared_experts) == (2, 0)
    plain.load_state_dict({k: v for k, v in part.state_dict().items() if not k.startswith("shared")})
    step = Step.of([5])
    wanted = part.shared(rows(), step)  # type: ignore[misc]
    if gate:
        wanted = wanted * part.shared_gate(rows()).sigmoid()  # type: ignore[misc]
    torch.testing.assert_close(part(rows(), step), plain(rows(), step) + wanted)


@pytest.mark.parametrize("weighed", [False, True])
def test_experts_of_a_latent_are_given_normed_rows_through_a_matrix_and_another_takes_them_back(weighed: bool) -> None:
    of = {"experts": EXPERTS, "hidden": 3, "activation": "silu", "router": TopKSpec(k=2, normalize=True)}
    of |= {"bias": True}
    given = {"norm": RmsNormSpec(eps=0.1), "width": 4, "bias": True, "weighed": weighed}
    part = built(MoeSpec(**of, inputs=given))  # type: ignore[arg-type]
    inside = MoeSpec(**of, inputs={"weighed": weighed}).build(width=4, key="moe")  # type: ignore[arg-type]
    for name in part.stacked:
        setattr(inside, name, getattr(part, name))
    inside.router.forward = lambda _: part.router(rows())
    latent = part.into_latent(part.norm(rows()))  # type: ignore[misc]
    wanted = part.out_of_latent(inside(latent, Step.of([5])))  # type: ignore[misc]
    torch.testing.assert_close(part(rows(), Step.of([5])), wanted)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            {"router": GroupedSpec(k=2, normalize=True, groups=ExpertGroups(count=3))},
            "8 experts do not make 3 groups of one size",
        ),
        (
            {"router": GroupedSpec(k=3, normalize=True, groups=ExpertGroups(count=4))},
            "a router that chooses 3 of 2 experts",
        ),
        (
            {"router": GroupedSpec(k=5, normalize=True, groups={"count": 4, "best": 2})},
            "a router that chooses 5 of 4 experts",
        ),
        ({"gated": False, "clamp": {"limit": 1, "alpha": 1}}, "experts without a gate have none to clamp"),
        ({"clamp": {"alpha": 1}}, "`alpha` goes with a `limit`"),
        ({"shared": {"gate": True}}, "mixer\n *Field required"),
    ],
)
def test_what_does_not_go_together_is_refused(said: dict[str, object], message: str) -> None:
    given = {"experts": 8, "hidden": 3, "activation": "silu", "router": TopKSpec(k=2, normalize=True), **said}
    with pytest.raises(ValidationError, match=message):
        MoeSpec.model_validate(given)


def test_no_more_groups_are_the_best_than_there_are() -> None:
    with pytest.raises(ValidationError, match="the best 3 of 2 groups"):
        ExpertGroups(count=2, best=3)


@pytest.mark.parametrize(
    ("router", "groups"),
    [(TopKSpec(k=2, normalize=True), 1), (GroupedSpec(k=2, normalize=True, groups={"count": 4, "best": 2}), 4)],
)
def test_experts_tell_how_many_groups_they_make(router: TopKSpec | GroupedSpec, groups: int) -> None:
    assert built(MoeSpec(experts=EXPERTS, hidden=3, activation="silu", router=router)).groups == groups
