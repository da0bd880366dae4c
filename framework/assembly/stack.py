"""Planned blocks as modules: the residual program."""

# T tokens, D width

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from triptych.errors import SpecError
from triptych.parts.cache_layout import sum_dtype
from triptych.parts.cache_needs import CacheNeed, in_loop
from triptych.parts.parameters import Part
from triptych.parts.step import Step
from triptych.settings import WHOLE, Stage
from triptych.spec.base import PartSpec
from triptych.spec.stack import BlockPlan, BranchPlan, StackPlan
from triptych.weights.stages import PPMissingLayer


def _built(spec: PartSpec | None, **sizes: Any) -> Any:
    return spec.build(**sizes) if spec is not None else None


def own(owner: nn.Module, name: str, child: nn.Module, *, where: str) -> None:
    """Make `child` a submodule. Raises SpecError when the owner has something else under that name."""
    if hasattr(owner, name):
        raise SpecError(f"the name {name!r} is taken in this place; another will do", path=where)
    owner.add_module(name, child)


class Branch(Part):
    """norm -> mixer (or members side by side, summed) -> post_norm -> scale -> residual. What is left out is not there.

    What members give that come last is not of that sum.
    """

    def __init__(self, plan: BranchPlan, *, width: int, key: str) -> None:
        super().__init__()
        self.norm = _built(plan.norm, width=width)
        self.post_norm = _built(plan.post_norm, width=width)
        self.sum_norm = _built(plan.sum_norm, width=width)
        self.scale, self.residual = plan.scale, plan.residual
        self.replaces = plan.residual is not None or (plan.mixer is not None and plan.mixer.replaces)
        self._members: tuple[nn.Module, ...]
        if plan.mixer is not None:
            assert plan.label
            mixer = plan.mixer.build(width=width, key=f"{key}.{plan.label}")
            own(self, plan.label, mixer, where=key)
            self._members = (mixer,)
        else:  # the block owns these, so that names in it stay flat
            block = key.rpartition(".")[0]
            self._members = tuple(Branch(p, width=width, key=f"{block}.{p.name}") for p in plan.parallel)
        self._last = tuple(m for m, p in zip(self._members, plan.parallel, strict=False) if p.last)
        self._now = tuple(m for m in self._members if m not in self._last)

    def forward(self, x_TD: Tensor, step: Step, y_TD: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """What is added to the rows, or stands in their place; with members that come last also what these give.

        `y_TD` are the normed rows, where they are there already.
        """
        own = self._modules
        y = y_TD if y_TD is not None else own["norm"](x_TD) if "norm" in own else x_TD
        y_sum = _summed(self._now, y, step)
        if "post_norm" in own:
            y_sum = own["post_norm"](y_sum)
        y_sum = y_sum if self.scale == 1.0 else y_sum * self.scale
        y_sum = y_sum if self.residual is None else y_sum + y * self.residual
        return (y_sum, _summed(self._last, y, step)) if self._last else y_sum


def _summed(members: Sequence[nn.Module], y_TD: Tensor, step: Step) -> Tensor:
    found: Tensor = members[0](y_TD, step)
    for member in members[1:]:
        found = found + member(y_TD, step)
    return found


class Block(nn.Module):
    """x = x + branch(x) for each branch in order; then what members give that come last.

    `in_fp32`: the sum is kept in float32, and branches see it in the dtype of their weights.
    """

    def __init__(self, plan: BlockPlan, *, width: int, key: str, in_fp32: bool = False) -> None:
        super().__init__()
        self.in_fp32 = in_fp32
        self._branches = tuple(Branch(p, width=width, key=f"{key}.{p.name}") for p in plan)
        after = (*self._branches[1:], None)
        self._norming = tuple(map(self._next_that_norms, self._branches, after))
        for branch_plan, branch in zip(plan, self._branches, strict=True):
            own(self, branch_plan.name, branch, where=key)
            for member_plan, member in zip(branch_plan.parallel, branch._members, strict=False):
                own(self, member_plan.name, member, where=f"{key}.{branch_plan.name}")

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        last: list[Tensor] = []
        x_TD = x_TD.to(sum_dtype(x_TD.dtype)) if self.in_fp32 else x_TD
        y_TD = None
        for branch, following in zip(self._branches, self._norming, strict=True):
            given = branch(narrowed(x_TD, branch) if self.in_fp32 else x_TD, step, y_TD)
            if isinstance(given, tuple):
                given, later = given
                last.append(later)
            if following is not None:
                norm: Any = following._modules["norm"]
                y_TD, x_TD = norm.of_sum(x_TD, given)
            else:
                y_TD, x_TD = None, given if branch.replaces else x_TD + given
            if branch.sum_norm is not None:
                x_TD = branch.sum_norm(x_TD)
        return sum(last, x_TD)

    def _next_that_norms(self, branch: Branch, following: Branch | None) -> Branch | None:
        """The branch that follows, where its norm takes the sum on the way."""
        is_plain = not (self.in_fp32 or branch.replaces or branch.sum_norm is not None)
        return following if is_plain and hasattr(getattr(following, "norm", None), "of_sum") else None


def narrowed(x: Tensor, module: nn.Module) -> Tensor:
    """Rows in the dtype of a module's weights."""
    weight = next(module.parameters(), None)
    return x if weight is None else x.to(weight.dtype)


class Stack(nn.Module):
    """What a language model and a tower have in common: embed -> layers -> norm.

    Layers and the norm past the last rows that are handed out are not built, nor those of other stages of a pipeline;
    `skipped` names them.
    """

    def __init__(self, plan: StackPlan, stage: Stage = WHOLE) -> None:
        super().__init__()
        taken = plan.taken
        built = max((*taken, *plan.tapped)) if taken else len(plan.layers)
        self.width, self.taken = plan.width, taken
        self.loops, self.in_fp32 = plan.loops, plan.residual_in_fp32
        self.embed = plan.embed.build(width=plan.width)
        here = stage.layers(built)
        in_fp32, width = plan.residual_in_fp32, plan.width
        blocks = {i: Block(plan.layers[i], width=width, key=f"layers.{i}", in_fp32=in_fp32) for i in here}
        self.layers = nn.ModuleList(blocks.get(i, PPMissingLayer()) for i in range(built))
        self.norm = None if taken else _built(plan.norm, width=plan.width)
        self.skipped = [f"layers.{i}" for i in range(len(plan.layers)) if i not in here]
        if plan.norm is not None and not stage.is_last:
            self.norm = PPMissingLayer()
        if plan.norm is not None and (taken or not stage.is_last):
            self.skipped.append("norm")

    def ended(self, x_TD: Tensor) -> Tensor:
        """Rows after the norm, if there is one, in the dtype of weights; as they are where a later stage goes on."""
        y_TD: Tensor = x_TD if self.norm is None else self.norm(x_TD)
        return narrowed(y_TD, self) if self.in_fp32 and not isinstance(self.norm, PPMissingLayer) else y_TD

    def cache_needs(self) -> dict[str, CacheNeed]:
        """What each mixer that remembers something needs, by the key that it remembers under."""
        return needs_of(self, loops=self.loops)


def needs_of(module: nn.Module, *, loops: int = 1) -> dict[str, CacheNeed]:
    """What each mixer in a module needs that remembers something, in layers that are gone through `loops` times."""
    mixers: list[Any] = [m for m in module.modules() if isinstance(getattr(m, "cache_need", None), CacheNeed)]
    return {
        in_loop(mixer.key, loop): need
        for loop in range(loops)
        for mixer in mixers
        if (need := mixer.cache_need if loop == 0 else getattr(mixer, "need_again", mixer.cache_need)) is not None
    }
