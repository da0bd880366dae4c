"""The form of a spec document: which keys stand where and what kind of value each holds, before anything is evaluated.

Any value may be an =expression and any may be null (absent); what parts say is typed by their own Specs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PositiveInt,
    StrictBool,
    ValidationError,
    WrapValidator,
    model_validator,
)

from triptych.errors import Place, Problem, SpecError, suggest
from triptych.spec.base import BaseSpec
from triptych.spec.document import Tree, without_paths
from triptych.spec.expressions import is_expression
from triptych.spec.rows import row_problems
from triptych.spec.scope import problems_of

T = TypeVar("T")


def _unless_expression(value: Any, validate: Callable[[Any], Any]) -> Any:
    return value if is_expression(value) else validate(value)


def _unless_text(value: Any, validate: Callable[[Any], Any]) -> Any:
    return value if isinstance(value, str) else validate(value)


def _name(value: str) -> str:
    if not value.isidentifier():
        raise ValueError("a name is made of letters, digits and _")
    return value


def _part(value: Any) -> Any:
    if not isinstance(value, str | Mapping):
        raise ValueError("the name of a part is wanted, or a mapping with `use` or `like`")
    return value


def _schema(value: Any) -> Any:
    if not isinstance(value, str | Mapping):
        raise ValueError("a mapping of fields is wanted, or the name of a registered schema")
    return value


def _place(value: Any) -> Any:
    if value is not None and not all(
        isinstance(place, str) for place in (value if isinstance(value, list) else [value])
    ):
        raise ValueError("a key, a dotted key or an =expression is wanted, or a list of these")
    return value


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _capability(name: str) -> str:
    from triptych.capabilities.table import CAPABILITIES  # few specs name any, and it takes a while

    if name not in CAPABILITIES:
        raise ValueError(f"unknown capability {name!r}{suggest(name, CAPABILITIES)}")
    return name


def _no_members(value: Any) -> Any:
    if value is not None:
        raise ValueError("a member stands beside others; it has none within")
    return value


def _without_like(value: Any) -> Any:
    """A block less the name of the one that it is like."""
    if not isinstance(value, Mapping) or not isinstance(value.get("like"), str):
        return value
    return {key: branch for key, branch in value.items() if key != "like"}


Or = Annotated[T, WrapValidator(_unless_expression)]
Name = Annotated[str, AfterValidator(_name)]
Names = list[str]
CapabilityName = Annotated[str, AfterValidator(_capability)]
PartRef = Annotated[Any, AfterValidator(_part)]
Plain = dict[str, Any]
SchemaNames = Annotated[list[str], Field(min_length=1), BeforeValidator(_listed)]


class BranchForm(BaseSpec):
    """norm -> mixer (or members side by side, summed) -> post_norm -> scale, added to the rows; then sum_norm."""

    norm: PartRef | None = None
    mixer: PartRef | None = None
    parallel: dict[Name, MemberForm | None] | None = None
    post_norm: PartRef | None = None
    scale: Or[float] | None = None
    sum_norm: PartRef | None = None


class MemberForm(BranchForm):
    """A branch beside others."""

    parallel: Annotated[Any, AfterValidator(_no_members)] = None


class LayersForm(BaseSpec):
    """How many layers a stack has, and the name of the block that each is."""

    count: Or[PositiveInt] | None = None
    block: str | None = None


class OutputForm(BaseSpec):
    """Which rows a tower hands out."""

    layers: Or[Annotated[list[Or[int]], BeforeValidator(_listed)]] | None = None
    skip: Or[int] | None = None


class SubModelForm(BaseSpec):
    """A sub-model by the family that its own config names, or by a spec's name beside a config.

    `with` is merged into that spec; `inert` are keys of its config that do nothing in this place.
    """

    spec: str | None = None
    config: str | None = None
    inert: Names | None = None
    with_: ChangesForm | None = Field(None, alias="with")


class StackForm(SubModelForm):
    """Rows -> layers -> norm; of a language model also its head, of a tower also its output."""

    width: Or[PositiveInt] | None = None
    embed: Plain | None = None
    layers: LayersForm | None = None
    norm: PartRef | None = None
    head: Plain | None = None
    context: Or[PositiveInt] | None = None
    output: OutputForm | None = None

    @model_validator(mode="after")
    def _stands_in_one_place(self) -> Self:
        beside = sorted(self.model_fields_set - SubModelForm.model_fields.keys())
        if self.spec is not None and beside:
            raise ValueError(f"{', '.join(beside)} beside `spec`; what changes that spec stands under `with`")
        if self.spec is None and (self.with_ or self.config):
            raise ValueError("`with` and `config` say more of a `spec`, which is not given")
        return self


class ItemsForm(BaseSpec):
    """What is known of an item before any tensor is there: its grid, and the rows that the tower gives for it.

    `schema` names by modality what the tower takes, and after it what may stand in its place.
    """

    size: PartRef | None = None
    rows: Or[PositiveInt] | None = None
    schema_: dict[Name, SchemaNames | None] | None = Field(None, alias="schema")


class TokensForm(BaseSpec):
    """The placeholder of a modality and how many of it one item takes."""

    placeholder: Or[int] | None = None
    count: Or[PositiveInt] | None = None


class PromptUpdateForm(BaseSpec):
    """The text of a prompt that an item stands for, and what it becomes."""

    modality: str
    replace: str
    with_: Literal["placeholder"] = Field(alias="with")


Steps = dict[Name, PartRef | None]
StepsRef = Annotated[Steps, WrapValidator(_unless_text)]


class ChangesForm(BaseSpec):
    """What a spec says of a model, and what another may change of it."""

    config: dict[str, Annotated[Any, AfterValidator(_place)] | None] | None = None
    defaults: Plain | None = None
    requires: Plain | None = None
    inert: Names | None = None
    language_model: StackForm | None = None
    tower: StackForm | None = None
    towers: dict[Name, StackForm | None] | None = None
    projectors: dict[Name, StepsRef | None] | None = None
    programs: dict[Name, Steps | None] | None = None
    blocks: dict[Name, Annotated[dict[Name, BranchForm | None], BeforeValidator(_without_like)] | None] | None = None
    parts: dict[Name, Plain | None] | None = None
    pooler: Plain | None = None
    schemas: dict[Name, Annotated[Any, AfterValidator(_schema)] | None] | None = None
    items: ItemsForm | None = None
    tokens: dict[Name, TokensForm | None] | None = None
    prompt_updates: list[PromptUpdateForm] | None = None
    weights: Plain | None = None


class ModelForm(ChangesForm):
    """What is said of a whole model, and not of one inside another.

    `capabilities` are what it can do beside what its structure shows, by the names that predicates have.
    """

    capabilities: dict[CapabilityName, StrictBool | None] | None = None


class DocumentForm(ModelForm):
    """A whole spec."""

    schema_: Literal[1] | None = Field(None, alias="schema")
    architectures: Names | None = None
    model_types: Names | None = None
    conversions: dict[Literal["embed", "classify"], ModelForm | None] | None = None
    processor: str | None = None
    dummy_inputs: str | None = None
    sample: Plain | None = None


def check_structure(tree: Tree) -> None:
    """Raise SpecError with every key that does not belong and every value of the wrong kind."""
    if problems := structure_problems(tree)[0]:
        raise SpecError(problems)


def structure_problems(tree: Tree) -> tuple[list[Problem], Tree]:
    """Every key that does not belong and every value of the wrong kind, and the tree without these."""
    problems, sound = list[Problem](), tree
    if "schema" not in tree:
        first = min(tree.values_at.values(), default=None)
        message = "a spec says which grammar it is written in; begin it with `schema: 1`"
        problems.append(Problem(message, "schema", Place(first.file, 1, 1) if first else None))
    try:
        DocumentForm.model_validate(tree)
    except ValidationError as error:
        details = error.errors(include_url=False)
        problems += [problem for detail in details for problem in problems_of(detail, DocumentForm, tree, (), None)]
        sound = without_paths(tree, (detail["loc"] for detail in details))
    wrong = list(row_problems(sound.get("weights")))
    problems += [Problem(message, ".".join(map(str, ("weights", *path))), place) for path, message, place in wrong]
    return problems, without_paths(sound, (("weights", *path) for path, _, _ in wrong))
