"""The form of a spec document: which keys stand where and what kind of value each holds, before anything is evaluated.

Any value may be an =expression and any may be null (absent); what parts say is typed by their own Specs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, PositiveInt, WrapValidator

from triptych.errors import SpecError
from triptych.spec.base import BaseSpec
from triptych.spec.document import Tree
from triptych.spec.expressions import is_expression

T = TypeVar("T")


def _unless_expression(value: Any, validate: Callable[[Any], Any]) -> Any:
    return value if is_expression(value) else validate(value)


Or = Annotated[T, WrapValidator(_unless_expression)]
Names = list[str]
PartRef = str | dict[str, Any]
Plain = dict[str, Any]


class BranchForm(BaseSpec):
    """norm -> mixer (or members side by side, summed) -> post_norm -> scale, added to the rows; then sum_norm."""

    norm: PartRef | None = None
    mixer: PartRef | None = None
    parallel: dict[str, BranchForm | None] | None = None
    post_norm: PartRef | None = None
    scale: Or[float] | None = None
    sum_norm: PartRef | None = None


class LayersForm(BaseSpec):
    """How many layers a stack has, and the name of the block that each is."""

    count: Or[PositiveInt] | None = None
    block: str | None = None


class OutputForm(BaseSpec):
    """Which rows a tower hands out."""

    layers: Or[int | list[int]] | None = None
    skip: Or[int] | None = None


class SubModelForm(BaseSpec):
    """A sub-model by the family that its own config names, or by a spec's name beside a config.

    `with` is merged into that spec; `inert` are keys of its config that do nothing in this place.
    """

    spec: str | None = None
    config: str | None = None
    inert: Names | None = None
    with_: Plain | None = Field(None, alias="with")


class StackForm(SubModelForm):
    """Rows -> layers -> norm; of a language model also its head, of a tower also its output."""

    width: Or[PositiveInt] | None = None
    embed: Plain | None = None
    layers: LayersForm | None = None
    norm: PartRef | None = None
    head: Plain | None = None
    context: Or[PositiveInt] | None = None
    output: OutputForm | None = None


class ItemsForm(BaseSpec):
    """What is known of an item before any tensor is there: its grid, and the rows that the tower gives for it."""

    size: PartRef | None = None
    rows: Or[PositiveInt] | None = None


class TokensForm(BaseSpec):
    """The placeholder of a modality and how many of it one item takes."""

    placeholder: Or[int] | None = None
    count: Or[PositiveInt] | None = None


class PromptUpdateForm(BaseSpec):
    """The text of a prompt that an item stands for, and what it becomes."""

    modality: str
    replace: str
    with_: Literal["placeholder"] = Field(alias="with")


class DocumentForm(BaseSpec):
    """A whole spec."""

    schema_: Literal[1] | None = Field(None, alias="schema")
    architectures: Names | None = None
    model_types: Names | None = None
    config: dict[str, str | Names | None] | None = None
    defaults: Plain | None = None
    requires: Plain | None = None
    inert: Names | None = None
    language_model: StackForm | None = None
    tower: StackForm | None = None
    towers: dict[str, StackForm | None] | None = None
    projectors: dict[str, str | dict[str, PartRef | None] | None] | None = None
    programs: dict[str, dict[str, PartRef | None] | None] | None = None
    blocks: dict[str, dict[str, BranchForm | str | None] | None] | None = None
    parts: dict[str, Plain | None] | None = None
    items: ItemsForm | None = None
    schemas: Plain | None = None
    tokens: dict[str, TokensForm | None] | None = None
    prompt_updates: list[PromptUpdateForm] | None = None
    weights: Plain | None = None
    sample: Plain | None = None


def check_structure(tree: Tree) -> None:
    """Raise SpecError with every key that does not belong and every value of the wrong kind."""
    from triptych.spec.scope import Scope

    Scope.of("", tree, {}).typed(DocumentForm, tree)
    if "schema" not in tree:
        raise SpecError("a spec says which grammar it is written in; begin it with `schema: 1`", path="schema")
