"""A built model as a tree of components with what is known of each: what `triptych show --tree` prints and draws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from triptych.assembly import Assembled, MultimodalModel, TextModel, Tower
from triptych.assembly.stack import needs_of
from triptych.assembly.tower import DeepProjector, Projector
from triptych.check.counts import cache_facts, parameters_of
from triptych.parts.sides import Size, said
from triptych.spec.base import BaseSpec, PartSpec, kind_of_part
from triptych.spec.document import Tree
from triptych.spec.plan import ModelPlan
from triptych.spec.stack import BlockPlan, BranchPlan, StackPlan
from triptych.spec.steps import Steps

Option = int | float | str | bool
Facts = Mapping[str, int | str]


@dataclass(frozen=True)
class Node:
    """A component, and what it is made of.

    `kind` is model, tower, projector, language_model, pooler, or the place in one of these: embed, layers, layer,
    branch, norm, head, pool, step; of what has parts in it also part; of a model class also module. `part` is what the
    spec calls what stands there, or the class of it. Layers that are alike are one node: `which` they are, counted from
    0, and all else is said of one of them; parts that are alike too. `parameters` are those of all below it too.
    `facts` count rows, tokens, layers or the numbers of a row; `cache` is how many numbers a token leaves in the
    cache, `cache_in_windows` how many of these are forgotten once a window or chunk has passed; `cache_in_states` how
    many a sequence leaves, however long it is. `options` are what the spec says of the part beside its defaults.
    """

    name: str
    kind: str
    parameters: int
    part: str = ""
    which: tuple[int, ...] = ()
    facts: Facts = field(default_factory=dict)
    options: Mapping[str, Option] = field(default_factory=dict)
    children: tuple[Node, ...] = ()

    @property
    def count(self) -> int:
        """How many there are of it."""
        return len(self.which) or 1


def outline(assembled: Assembled) -> Node:
    """The tree of a built model: numbers of parameters and of cache are those of its modules."""
    module, plan = assembled.module, assembled.plan
    if isinstance(module, Tower):
        tower = _tower(plan, "", module)
        return Node(plan.name, "model", parameters_of(module), children=(tower,))
    children = [*_before_text(plan, module)] if isinstance(module, MultimodalModel) else []
    children.append(_language_model(plan, module))
    if (pooler := getattr(module, "pooler", None)) is not None:
        facts = {"width_in": module.width, "width_out": pooler.out_width}
        children.append(Node("pooler", "pooler", parameters_of(pooler), facts=facts, options=_options(plan.pooler)))
    cache = cache_facts(module.cache_needs().values())
    return Node(plan.name, "model", parameters_of(module), facts=cache, children=tuple(children))


def _before_text(plan: ModelPlan, module: MultimodalModel) -> Iterator[Node]:
    for name, tower in module.towers.items():
        assert isinstance(tower, Tower)
        yield _tower(plan, name, tower)
    for name, projector in module.projectors.items():
        assert isinstance(projector, Projector)
        steps = [*_steps(projector, plan.projectors[name])]
        if isinstance(projector, DeepProjector):
            steps += [
                s for n, each in enumerate(projector.deep) for s in _steps(each, plan.deepstack[name], f"deep.{n}.")
            ]
        facts = {"width_in": module.towers[name].out_width, "width_out": projector.out_width}
        yield Node(f"projectors.{name}", "projector", parameters_of(projector), facts=facts, children=tuple(steps))  # type: ignore[arg-type]


def _steps(projector: nn.Module, steps: Steps, before: str = "") -> Iterator[Node]:
    for name, _, spec in steps:
        yield Node(f"{before}{name}", "step", parameters_of(projector.get_submodule(name)), options=_options(spec))


def _tower(plan: ModelPlan, name: str, tower: Tower) -> Node:
    facts: dict[str, int | str] = {"width": tower.width, "layers": len(tower.layers), "width_out": tower.out_width}
    facts |= _items(plan, name, skip=tower.skip)
    if tower.cut_off:
        facts["not_built"] = ", ".join(tower.cut_off)
    path, children = f"towers.{name}" if name else "tower", _stack(tower, plan.towers[name])
    if tower.pool is not None:
        steps = tuple(_steps(tower.pool, plan.towers[name].pool))
        children += (Node("pool", "pool", parameters_of(tower.pool), children=steps),)
    return Node(path, "tower", parameters_of(tower), facts=facts, children=children)


def _items(plan: ModelPlan, name: str, *, skip: int) -> dict[str, int | str]:
    """Rows handed out for an item of the largest size, and tokens it takes, as far as the spec says."""
    scope = plan.scopes.get(f"towers.{name}", plan.scopes[""])
    items = scope.tree.get("items") or Tree()
    if not items.get("size") or items.get("rows") is None:
        return {}
    size = scope.at("items", "size").part("size", items["size"])[1].build()
    largest = size.largest(name or "image", {})
    grid = size(largest, {})
    rows: int = scope.knowing(grid=grid._asdict()).value(items["rows"], items.values_at.get("rows"))
    rule = plan.tokens.get(name)
    return {"item": str(largest), "rows": rows - skip * grid.t, **({"tokens": rule.count(largest, {})} if rule else {})}


def _language_model(plan: ModelPlan, module: TextModel | MultimodalModel) -> Node:
    text = module.get_language_model()
    assert isinstance(text, TextModel)
    assert plan.language_model is not None
    facts = {"width": text.width, "layers": len(text.layers), "vocabulary": text.vocab_size}
    if text.context is not None:
        facts["context"] = text.context
    facts |= cache_facts(text.cache_needs().values())
    size = sum(
        parameters_of(part) for name, part in text.named_children() if name != "pooler"
    )  # which stands beside it
    children = _stack(text, plan.language_model)
    return Node("language_model", "language_model", size, facts=facts, children=children)


def _stack(stack: Tower | TextModel, plan: StackPlan) -> tuple[Node, ...]:
    """Embedding, layers, norm and head, as far as they are there; layers of several kinds are one node of several."""
    layers = tuple(_layers(stack, plan.layers))
    if len(layers) > 1:
        layers = (Node("layers", "layers", parameters_of(stack.layers), children=layers),)
    places = {"embed": plan.embed, "norm": plan.norm, "head": plan.head}
    modules = {name: getattr(stack, name, None) for name in places}
    embed, *after = [
        Node(
            name,
            name,
            parameters_of(module),
            options=_options(places[name]),
            children=tuple(parts_inside(places[name], module)),
        )
        for name, module in modules.items()
        if module is not None
    ]
    return (embed, *layers, *after)


def _layers(stack: Tower | TextModel, plans: Sequence[BlockPlan]) -> Iterator[Node]:
    """A node for each kind of layer there is."""
    alike: list[tuple[BlockPlan, list[int]]] = []
    for number in range(len(stack.layers)):
        same = next((numbers for plan, numbers in alike if plan == plans[number]), None)
        if same is None:
            alike.append((plans[number], [number]))
        else:
            same.append(number)
    for plan, numbers in alike:
        block = stack.layers[numbers[0]]
        loops = stack.loops if isinstance(stack, TextModel) else 0  # a tower keeps nothing
        branches = tuple(_branch(branch, block, loops=loops) for branch in plan)
        cache = cache_facts(needs_of(block, loops=loops).values())
        yield Node("layer", "layer", parameters_of(block), which=tuple(numbers), facts=cache, children=branches)


def _branch(plan: BranchPlan, block: nn.Module, *, loops: int) -> Node:
    """A branch with its norms; members that stand side by side are branches below it, which the block owns."""
    modules = [block.get_submodule(name) for name in (plan.name, *(member.name for member in plan.parallel))]
    members = [_branch(member, block, loops=loops) for member in plan.parallel]
    if plan.mixer is not None and plan.label:
        members += parts_inside(plan.mixer, modules[0].get_submodule(plan.label), loops=loops)
    facts = cache_facts(need for module in modules for need in needs_of(module, loops=loops).values())
    return Node(
        name=plan.name,
        kind="branch",
        parameters=sum(map(parameters_of, modules)),
        part=plan.label or "",
        facts=facts,
        options=_options(plan.mixer),
        children=tuple(members),
    )


def parts_inside(spec: BaseSpec | None, module: nn.Module, *, loops: int = 0) -> Iterator[Node]:
    """A node for each part in a part that has parameters, less norms, as of branches.

    It stands in the module under the name of its field, or of the mapping that holds it; many of it in a list, or in a
    mapping by number.
    """
    for name, inner in _parts_in(spec):
        held = getattr(module, name, None)
        if not isinstance(held, nn.Module) or not parameters_of(held):
            continue
        for numbers, one in _alike(held):
            yield Node(
                name=name,
                kind="part",
                parameters=parameters_of(one),
                which=numbers,
                facts=cache_facts(needs_of(one, loops=loops).values()),
                options=_options(inner),
                children=tuple(parts_inside(inner, one, loops=loops)),
            )


def _parts_in(spec: BaseSpec | None) -> Iterator[tuple[str, PartSpec]]:
    """The parts that a Spec holds in its fields, or in the mappings that these hold, less norms."""
    for name, known in type(spec).model_fields.items() if spec is not None else ():
        value = getattr(spec, name)
        if isinstance(value, PartSpec):
            yield from [(name, value)] if kind_of_part(known) != "norm" else []
        elif isinstance(value, BaseSpec):
            yield from ((name, inner) for _, inner in _parts_in(value))


def _alike(held: nn.Module) -> Iterator[tuple[tuple[int, ...], nn.Module]]:
    """What is made by one Spec: a module, or several by number, of which those of one size come together."""
    if not isinstance(held, nn.ModuleList | nn.ModuleDict) or not all(name.isdecimal() for name in held._modules):
        yield (), held
        return
    sizes = dict[int, dict[int, nn.Module]]()
    for number, one in held.named_children():
        sizes.setdefault(parameters_of(one), {})[int(number)] = one
    yield from ((tuple(ones), next(iter(ones.values()))) for ones in sizes.values())


def _options(spec: BaseSpec | None, before: str = "") -> dict[str, Option]:
    """What is said of a part beside its defaults, less the parts inside it; `reach.window` of what stands deeper."""
    found = dict[str, Option]()
    for name, known in type(spec).model_fields.items() if spec is not None else ():
        value = getattr(spec, name)
        value = said(value) if isinstance(value, Size) else value
        if isinstance(value, Option) and value != known.default:
            found[before + name] = value
        elif isinstance(value, BaseSpec) and not isinstance(value, PartSpec):
            found |= _options(value, f"{before}{name}.")
    return found
