"""One stack of a spec worked out for a config: typed parts in their places, layer by layer, without torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveInt

from triptych.errors import Place, SpecError, short
from triptych.spec.base import MAX_WIDTH, ROLES, BaseSpec, PartSpec, kind_of_part
from triptych.spec.cuts import FRAME, check_within, plan_cuts
from triptych.spec.document import Tree
from triptych.spec.expressions import is_expression
from triptych.spec.requires import check_layer
from triptych.spec.scope import Collector, Scope
from triptych.spec.steps import Steps, plan_steps

MAX_LAYERS, MAX_LOOPS = 10_000, 1000


@dataclass(frozen=True)
class BranchPlan:
    """One branch of a block: `mixer` under its label, or `parallel` members whose results are summed.

    What a member gives that comes `last` is added after all branches. With a `residual`, what goes on beside the
    branch is the normed rows times that, instead of the rows.
    """

    name: str
    label: str | None
    mixer: PartSpec | None
    parallel: tuple[BranchPlan, ...]
    norm: PartSpec | None
    post_norm: PartSpec | None
    sum_norm: PartSpec | None
    scale: float
    last: bool = False
    residual: float | None = None


BlockPlan = tuple[BranchPlan, ...]


class StackFacts(BaseSpec):
    """The numbers of a stack, whose norm comes after the last of the `loops`.

    With `residual_in_fp32` the sum that branches add to is kept in float32.
    """

    width: PositiveInt = Field(le=MAX_WIDTH)
    count: PositiveInt = Field(le=MAX_LAYERS)
    loops: PositiveInt = Field(1, le=MAX_LOOPS)
    residual_in_fp32: bool = False
    context: PositiveInt | None = None


def _listed(value: object) -> object:
    return (value,) if isinstance(value, int) else value


class Output(BaseSpec):
    """Which rows a tower hands out: after which layers (0 the embedding, -1 the last), less an item's first `skip`.

    Several layers stand side by side in the width. Without `layers`: the last, after the norm. `taps` are numbers of
    layers, the first 0, whose rows stand beside those, for a language model that adds them after layers of its own.
    """

    layers: Annotated[tuple[int, ...], BeforeValidator(_listed)] | None = None
    skip: NonNegativeInt = 0
    taps: Annotated[tuple[NonNegativeInt, ...], BeforeValidator(_listed)] | None = None


@dataclass(frozen=True)
class StackPlan:
    """Rows -> layers -> norm. A language model that writes text has a head, a tower an output.

    `cuts` are ways to cut a tower's rows beside that into frames, by name; `pool` are steps from its rows to fewer.
    """

    width: int
    embed: PartSpec
    layers: tuple[BlockPlan, ...]
    norm: PartSpec | None
    head: PartSpec | None
    context: int | None
    output: Output
    cuts: Mapping[str, PartSpec] = field(default_factory=dict)
    pool: Steps = ()
    loops: int = 1
    residual_in_fp32: bool = False

    @property
    def crosses(self) -> bool:
        """Whether layers hand more than rows to later ones."""
        return self.loops > 1 or any(mixer.crosses for mixer in mixers_of(self.layers))

    @property
    def taken(self) -> tuple[int, ...] | None:
        """The layers whose rows are handed out, counted from 0 (the embedding); None for the normed end."""
        return tuple(n % (len(self.layers) + 1) for n in self.output.layers) if self.output.layers else None

    @property
    def tapped(self) -> tuple[int, ...]:
        """The layers whose rows are handed out beside those, counted from 0 (the embedding) too."""
        return tuple(n + 1 for n in self.output.taps or ())


def plan_stack(scope: Scope, tree: Tree, kind: str) -> StackPlan:
    problems = Collector()
    layers = tree.get("layers") or Tree()
    place = min(tree.values_at.values(), default=None)
    facts, norm, output = None, None, Output()
    blocks: tuple[BlockPlan, ...] = ()
    with problems.catching():
        wanted = Tree()
        of_layers = ("count", "loops", "residual_in_fp32")
        for source, key in ((tree, "width"), (tree, "context"), *((layers, k) for k in of_layers)):
            if key in source:
                wanted.put(key, source[key], source)
        facts = scope.typed(StackFacts, scope.value(wanted), place)
    with problems.catching():
        norm = _norm(scope, tree, "norm")
    with problems.catching():
        output = scope.at("output").typed(Output, scope.value(tree.get("output") or Tree()))
        if facts:
            _check_taken(scope, output, facts.count, tree.get("output") or Tree())
    with problems.catching():
        blocks = _layers(scope, layers, facts.count if facts else 1, layers.values_at.get("block", place))
    embed, head = None, None
    with problems.catching():
        embed = defaulted(scope, "embed", tree, "tokens")
    with problems.catching():
        if kind == "language_model" and tree.get("head") is not None:
            head = defaulted(scope, "head", tree, "linear")
    pool: Steps = ()
    with problems.catching():
        pool = _pool(scope, tree, kind)
        if pool and output.taps:
            told = "rows of taps stand beside those of the end, each by itself; leave one of the two out"
            scope.at("pool").fail(told, tree.values_at.get("pool"))
    cuts = dict[str, PartSpec]()
    with problems.catching():
        cuts = plan_cuts(scope.at("cuts"), tree.get("cuts") or Tree())
        check_within(scope, mixers_of(blocks), [FRAME, *cuts] if kind == "tower" else [], tree.keys_at.get("layers"))
    problems.check()
    assert facts is not None
    assert embed is not None
    found = StackPlan(facts.width, embed, blocks, norm, head, facts.context, output, cuts, pool)
    return replace(found, loops=facts.loops, residual_in_fp32=facts.residual_in_fp32)


def _pool(scope: Scope, tree: Tree, kind: str) -> Steps:
    at, place = scope.at("pool"), tree.values_at.get("pool")
    if (steps := tree.get("pool")) is None:
        return ()
    if kind != "tower":
        at.fail("rows of items are pooled by a tower; those of a prompt by a `pooler`, which stands beside it", place)
    return plan_steps(at, steps, place)


def mixers_of(blocks: Iterable[BlockPlan]) -> Iterator[PartSpec]:
    """The mixers of all layers, those side by side and those inside others too."""
    branches = [branch for block in blocks for branch in block]
    while branches:
        branch = branches.pop()
        branches += branch.parallel
        if branch.mixer is not None:
            yield from _with_inner(branch.mixer)


def _with_inner(mixer: PartSpec) -> Iterator[PartSpec]:
    yield mixer
    for name, known in type(mixer).model_fields.items():
        if isinstance(inner := getattr(mixer, name), PartSpec) and kind_of_part(known) == "mixer":
            yield from _with_inner(inner)


def _check_taken(scope: Scope, output: Output, count: int, tree: Tree) -> None:
    at = scope.at("output")
    for number in output.layers or ():
        if not -count - 1 <= number <= count:
            message = f"rows after layer {number} of {count}; 0 is the embedding, {count} or -1 the last"
            at.at("layers").fail(message, tree.values_at.get("layers"))
    if [*(output.taps or ())] != sorted({*(output.taps or ())}):
        message = f"layers are tapped from the first to the last, each once, not {[*(output.taps or ())]}"
        at.at("taps").fail(message, tree.values_at.get("taps"))
    for number in output.taps or ():
        if number >= count:
            message = f"the rows of layer {number} of {count}; {count - 1} is the last"
            at.at("taps").fail(message, tree.values_at.get("taps"))


def defaulted(scope: Scope, kind: str, stack: Tree, use: str) -> PartSpec:
    """A part whose `use` may be left out."""
    tree = stack.get(kind) or Tree()
    if tree.get("use") is None and tree.get("like") is None:
        tree = tree.having("use", use)
    return scope.at(kind).part(kind, tree, stack.values_at.get(kind, min(stack.values_at.values(), default=None)))[1]


def _layers(scope: Scope, tree: Tree, count: int, place: Place | None) -> tuple[BlockPlan, ...]:
    found: list[BlockPlan] = []
    for number in range(count):
        layer = scope.at_layer(number)
        check_layer(layer)
        found.append(_block(layer, layer.value(chosen := tree.get("block"), place), place))
        layer.offer("blocks", chosen)
        if number == 0 and not layer.names.layer_reads:  # nothing asked which layer this is: the others are the same
            return tuple(found * count)
    return tuple(found)


def _block(scope: Scope, name: object, place: Place | None) -> BlockPlan:
    if not isinstance(name, str):
        raise SpecError(f"a block is named, not {short(name)}", path=".".join(scope.path), place=place)
    tree, problems = scope.named("blocks", name, place), Collector()
    found: list[BranchPlan] = []
    for key, branch in tree.items():
        with problems.catching():
            if branch is not None:
                found.append(_branch(scope.at(key), key, branch))
    problems.check()
    return tuple(found)


def _branch(scope: Scope, name: str, tree: Tree) -> BranchPlan:
    problems = Collector()
    norms: dict[str, PartSpec | None] = dict.fromkeys(ROLES)
    label, mixer, scale, residual, members = None, None, 1.0, None, list[BranchPlan]()
    for role in ROLES:
        with problems.catching():
            norms[role] = _norm(scope, tree, role)
    with problems.catching():
        scale = 1.0 if (found := _number(scope, tree, "scale")) is None else found
    with problems.catching():
        residual = _number(scope, tree, "residual")
    for key, member in (tree.get("parallel") or {}).items():
        with problems.catching():
            if member is not None:
                members.append(_branch(scope.at(key), key, member))
    with problems.catching():
        place = min(tree.values_at.values(), default=None)
        if bool(tree.get("mixer")) == bool(tree.get("parallel")):
            raise SpecError("a branch has a `mixer`, or `parallel` members", path=".".join(scope.path), place=place)
        if members and all(member.last for member in members):
            raise SpecError("not all members of a branch come `last`", path=".".join(scope.path), place=place)
        if not tree.get("parallel"):
            label, mixer = scope.at("mixer").part("mixer", tree["mixer"], tree.values_at.get("mixer"))
    problems.check()
    norm, post_norm, sum_norm = (norms[role] for role in ROLES)
    last = tree.get("last") is True
    return BranchPlan(name, label, mixer, tuple(members), norm, post_norm, sum_norm, scale, last, residual)


def _norm(scope: Scope, tree: Tree, role: str) -> PartSpec | None:
    """The norm that a stack or a branch has in a role, if it has one; an expression may come to null too."""
    place = tree.values_at.get(role)
    reference = tree.get(role)
    if is_expression(reference):
        reference = scope.at(role).value(reference, place)
    return scope.at(role).part("norm", reference, place)[1] if reference is not None else None


def _number(scope: Scope, tree: Tree, key: str) -> float | None:
    place = tree.values_at.get(key)
    found = scope.at(key).value(tree.get(key), place)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float):
        path = ".".join(scope.at(key).path)
        raise SpecError(f"a number is wanted, not {short(found)}", path=path, place=place)
    return float(found)
