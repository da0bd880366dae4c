"""A spec beside a config, worked out: typed parts in their places, layer by layer. What assembly builds, without torch.

Every mistake that can be found so is found here, all at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from triptych.registry.named import Schema
from triptych.schemas.items import ItemSchema
from triptych.spec.base import PartSpec
from triptych.spec.catalog import load_named
from triptych.spec.conversion import converted
from triptych.spec.document import Tree, walk
from triptych.spec.overrides import overridden, replaced
from triptych.spec.projectors import check_added, plan_deepstack, plan_projectors, untapped
from triptych.spec.requires import unmet
from triptych.spec.schemas import named_problems, plan_items, plan_schemas
from triptych.spec.scope import Collector, Scope
from triptych.spec.sources import SourceRule, source_rules
from triptych.spec.stack import StackPlan, defaulted, plan_stack
from triptych.spec.steps import Steps
from triptych.spec.structure import check_structure
from triptych.spec.sub_model import child_scope
from triptych.spec.tokens import TokenRule, token_rules

OF_TOWERS = [
    "projectors",
    "deepstack",
    "programs",
    "pooler",
    "tokens",
    "positions",
]  # what cannot be told without the towers


@dataclass(frozen=True)
class ModelPlan:
    """A whole model. `scopes` holds the scope of each sub-model by path; the model's own stands under ''.

    `sources` are what a decoder looks at beside its prompt. `schemas` are those that the spec states, by name; `items`
    says what one item of each modality is. `processor` and `dummy_inputs` are registered names, None for the generic
    ones; `transcription` is one too, None for a model that does not write down speech. `positions` says where the
    tokens of a prompt with items stand; None where each stands at its number. `deepstack` are the steps for the rows of
    each tap of a tower, which are added after the first layers of the language model.
    """

    name: str
    language_model: StackPlan | None
    towers: Mapping[str, StackPlan]
    projectors: Mapping[str, Steps]
    pooler: PartSpec | None
    tokens: Mapping[str, TokenRule]
    sources: Mapping[str, SourceRule]
    scopes: Mapping[str, Scope]
    schemas: Mapping[str, Schema]
    items: Mapping[str, ItemSchema]
    processor: str | None
    dummy_inputs: str | None
    transcription: str | None
    positions: PartSpec | None = None
    deepstack: Mapping[str, Steps] = field(default_factory=dict)

    @property
    def added(self) -> int:
        """After how many layers of the language model rows of items are added."""
        return max((len(self.towers[name].tapped) for name in self.deepstack), default=0)


@dataclass
class _Sections:
    """What a spec says beside its towers and its language model, as far as it is sound."""

    projectors: Mapping[str, Steps] = field(default_factory=dict)
    pooler: PartSpec | None = None
    tokens: Mapping[str, TokenRule] = field(default_factory=dict)
    sources: Mapping[str, SourceRule] = field(default_factory=dict)
    schemas: Mapping[str, Schema] = field(default_factory=dict)
    items: Mapping[str, ItemSchema] = field(default_factory=dict)
    positions: PartSpec | None = None
    deepstack: Mapping[str, Steps] = field(default_factory=dict)


@dataclass
class _Planner:
    """Collects the problems and the sub-models' scopes while a model is worked out."""

    problems: Collector = field(default_factory=Collector)
    scopes: dict[str, Scope] = field(default_factory=dict)


def plan(
    spec: str | Tree,
    config: Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    convert: str | None = None,
    name: str = "spec",
) -> ModelPlan:
    """Work out a spec (a registered name, the path of a YAML file, or a merged tree) for a config.

    `convert` makes a model of another use of it: `embed` or `classify`. `overrides` are `path.to.key=value` on top of
    the spec; `name` is what a tree is called in messages. Raises SpecError with all mistakes of the spec and of the
    config that it does not serve.
    """
    name, written = load_named(spec) if isinstance(spec, str) else (name, spec)
    tree = overridden(converted(written, convert, name=name, config=config) if convert else written, overrides)
    check_structure(tree)
    scope, planner = Scope.of(name, tree, config), _Planner()
    for expression in replaced(written, tree):  # the config is overruled there on purpose
        scope.mention(expression)
    planner.scopes[""] = scope
    towers, language_model = _towers(scope, planner), _language_model(scope, planner)
    planner.scopes[""] = scope.knowing(**_configs(planner, scope, towers))
    declared = [key for key, sub in (tree.get("towers") or {}).items() if sub]
    text = bool(language_model) == bool(tree.get("language_model"))
    sections = _sections(planner, towers if len(towers) >= len(declared) else None, text=text)
    if len(towers) >= len(declared) and language_model is not None:
        with planner.problems.catching():
            check_added(scope, sections.deepstack, towers, layers=len(language_model.layers))
        with planner.problems.catching():
            sections.sources = source_rules(planner.scopes[""], planner.scopes, language_model)
    planner.problems.problems += named_problems(tree)
    _check_configs(planner)
    planner.problems.check()
    return ModelPlan(
        name=name,
        language_model=language_model,
        towers=untapped(towers, sections.deepstack) if language_model else towers,
        scopes=planner.scopes,
        processor=tree.get("processor"),
        dummy_inputs=tree.get("dummy_inputs"),
        transcription=tree.get("transcription"),
        **vars(sections),
    )


def _towers(scope: Scope, planner: _Planner) -> dict[str, StackPlan]:
    """Those that are sound, by name; a spec that is one tower has it under ''."""
    tree = scope.tree
    found = {
        key: tower
        for key, sub in (tree.get("towers") or {}).items()
        if sub and (tower := _sub_model(scope, planner, ("towers", key), sub, "tower"))
    }
    if found or not tree.get("tower") or tree.get("language_model"):
        return found
    alone = _attempt(planner, scope.at("tower"), tree["tower"], "tower")
    return {"": alone} if alone else {}


def _language_model(scope: Scope, planner: _Planner) -> StackPlan | None:
    sub = scope.tree.get("language_model")
    return _sub_model(scope, planner, ("language_model",), sub, "language_model") if sub else None


def _sections(planner: _Planner, towers: Mapping[str, StackPlan] | None, *, text: bool) -> _Sections:
    """What speaks of the towers and of the language model; where one of these failed it would only add noise."""
    scope, found, catching = planner.scopes[""], _Sections(), planner.problems.catching
    tree = scope.tree
    if towers is not None:
        with catching():
            found.projectors = plan_projectors(scope)
            found.deepstack = plan_deepstack(scope, towers, found.projectors)
        with catching():
            found.pooler = defaulted(scope, "pooler", tree, "sequence") if tree.get("pooler") is not None else None
        with catching():
            found.tokens = token_rules(scope, planner.scopes)
        with catching():
            if (positions := tree.get("positions")) is not None:
                at = scope.at("positions")
                found.positions = at.part("positions", positions, tree.values_at.get("positions"))[1]
    if towers is not None and text:
        with catching():
            found.schemas = plan_schemas(scope)
            found.items = plan_items(scope, found.schemas, planner.scopes)
    passed_over = [*(OF_TOWERS if towers is None else ()), *(["schemas"] if towers is None or not text else ())]
    for _, value, _ in walk([tree.get(section) for section in passed_over]):
        scope.mention(value)
    return found


def _attempt(planner: _Planner, scope: Scope, tree: Tree, kind: str) -> StackPlan | None:
    with planner.problems.catching():
        return plan_stack(scope, tree, kind)
    return None


def _sub_model(scope: Scope, planner: _Planner, path: tuple[str, ...], sub: Tree, kind: str) -> StackPlan | None:
    """A stack that stands in place, or that of the family which a sub-config names."""
    if not sub.get("spec"):
        return _attempt(planner, scope.at(*path), sub, kind)
    with planner.problems.catching():
        child = child_scope(scope.at(*path), sub, kind)
        planner.scopes[".".join(path)] = child
        return plan_stack(child, child.tree[kind], kind)
    return None


def _configs(planner: _Planner, scope: Scope, towers: Iterable[str]) -> dict[str, Any]:
    """The sub-models' configs, as these themselves read them: what `towers.image.x` and `language_model.x` mean."""
    of = {path: child.config for path, child in planner.scopes.items()}
    return {
        "towers": {name: of.get(f"towers.{name}", scope.config) for name in towers},
        "language_model": of.get("language_model", scope.config),
    }


def _check_configs(planner: _Planner) -> None:
    """What each spec requires, and that every config is read: one that several specs have, by them together."""
    shared = dict[int, list[str]]()
    for path, scope in planner.scopes.items():
        planner.problems.problems += unmet(scope)
        for _, name, _ in walk(scope.tree.get("weights")):  # read when a checkpoint is
            scope.mention(name)
        shared.setdefault(id(scope.config.raw), []).append(path)
    for paths in shared.values():
        scopes = [planner.scopes[path] for path in paths]
        read = set[str]().union(*(_read(scope) for scope in scopes))
        inert = [name for scope in scopes for name in scope.tree.get("inert") or ()]
        spec = " and ".join(f"{scope.name}.yaml" for scope in scopes)
        planner.problems.problems += scopes[0].config.unread(read, inert, spec=spec, at=paths[0])


def _read(scope: Scope) -> set[str]:
    """The keys of its config that a spec reads."""
    return scope.config.behind(scope.record.mentions | scope.config.asked)[1]
