"""The form of a spec document: which keys stand where and what kind of value each holds, before anything is evaluated.

Any value may be an =expression and any may be null (absent); what parts say is typed by their own Specs.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, ValidationError, model_validator

from triptych.errors import Place, Problem, SpecError
from triptych.spec.base import BaseSpec
from triptych.spec.document import Tree, without_paths
from triptych.spec.form_types import (
    AnyPart,
    Attend,
    Block,
    Capabilities,
    ConfigPlace,
    Content,
    CutRef,
    Embed,
    Head,
    LayerNumbers,
    MixerRef,
    Name,
    Names,
    NoMembers,
    NoResidual,
    NormRef,
    Or,
    Plain,
    Pooler,
    PositionsRef,
    Rows,
    SamplingRef,
    SchemaNames,
    SchemaRef,
    SizeRef,
    Steps,
    StepsRef,
)
from triptych.spec.rows import row_problems
from triptych.spec.scope import problems_of


class BranchForm(BaseSpec):
    """norm -> mixer (or members side by side, summed) -> post_norm -> scale, added to the rows; then sum_norm.

    With a `residual` it is added to that many times the normed rows, and the rows go no further.
    """

    norm: NormRef | None = None
    mixer: MixerRef | None = None
    parallel: dict[Name, MemberForm | None] | None = None
    post_norm: NormRef | None = None
    scale: Or[float] | None = None
    residual: Or[float] | None = None
    sum_norm: NormRef | None = None


class MemberForm(BranchForm):
    """A branch beside others; what it gives is added to the rows with theirs, or after the block's `last` branch."""

    parallel: NoMembers = None
    residual: NoResidual = None
    last: bool = False


class LayersForm(BaseSpec):
    """How many layers a stack has, and the name of the block that each is.

    A language model may go through all of them `loops` times.
    With `residual_in_fp32` the rows between layers are in float32, whatever the dtype of the weights.
    """

    count: Or[PositiveInt] | None = None
    block: str | None = None
    loops: Or[PositiveInt] | None = None
    residual_in_fp32: Or[bool] | None = None


class OutputForm(BaseSpec):
    """Which rows a tower hands out."""

    layers: Or[LayerNumbers] | None = None
    skip: Or[int] | None = None
    taps: Or[LayerNumbers] | None = None


class SubModelForm(BaseSpec):
    """A sub-model by the family that its own config names, or by a spec's name beside a config.

    `with` is merged into that spec; `inert` are keys of its config that do nothing in this place.
    """

    spec: str | None = None
    config: str | None = None
    inert: Names | None = None
    with_: ChangesForm | None = Field(None, alias="with")


class StackForm(SubModelForm):
    """Rows -> layers -> norm; of a language model also its head, of a tower also its output.

    `cuts` are ways to cut a tower's rows, which attention may stay within; `pool` are steps, as a projector has them,
    that make fewer rows of an item's, or one.
    """

    width: Or[PositiveInt] | None = None
    embed: Embed | None = None
    layers: LayersForm | None = None
    norm: NormRef | None = None
    head: Head | None = None
    context: Or[PositiveInt] | None = None
    output: OutputForm | None = None
    pool: StepsRef | None = None
    cuts: dict[Name, CutRef | None] | None = None

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

    size: SizeRef | None = None
    rows: Or[PositiveInt] | None = None
    schema_: dict[Name, SchemaNames | None] | None = Field(None, alias="schema")


class TokensForm(BaseSpec):
    """The placeholder of a modality and how many of it one item takes.

    `tower` takes the items where it has another name than the modality: that of images may take videos too. Rows see
    what came before them; `attend: both` says that those of one item see all of it, `prefix` that those of a prompt see
    all of the prompt. `sampling` says which frames of a file of video are taken, `defaults` what the processor of the
    modality has where its file is silent.
    """

    tower: Name | None = None
    placeholder: Or[int] | None = None
    count: Or[PositiveInt] | None = None
    attend: Attend | None = None
    sampling: SamplingRef | None = None
    defaults: Plain | None = None


class PromptUpdateForm(BaseSpec):
    """The text of a prompt that an item stands for, and what it becomes: placeholders, with texts if there are any."""

    modality: str
    replace: str
    with_: Content = Field(alias="with")


class ChangesForm(BaseSpec):
    """What a spec says of a model, and what another may change of it.

    `deepstack` says by tower what a projector is of the rows of each of its taps; each tap has one of its own.
    """

    config: dict[str, ConfigPlace | None] | None = None
    defaults: Plain | None = None
    requires: Plain | None = None
    inert: Names | None = None
    language_model: StackForm | None = None
    tower: StackForm | None = None
    towers: dict[Name, StackForm | None] | None = None
    projectors: dict[Name, StepsRef | None] | None = None
    deepstack: dict[Name, StepsRef | None] | None = None
    programs: dict[Name, Steps | None] | None = None
    blocks: dict[Name, Block[BranchForm] | None] | None = None
    parts: dict[Name, AnyPart | None] | None = None
    pooler: Pooler | None = None
    positions: PositionsRef | None = None
    schemas: dict[Name, SchemaRef | None] | None = None
    items: ItemsForm | None = None
    tokens: dict[Name, TokensForm | None] | None = None
    prompt_updates: list[PromptUpdateForm] | None = None
    weights: Rows | None = None


class ModelForm(ChangesForm):
    """What is said of a whole model, and not of one inside another.

    `capabilities` are what it can do beside what its structure shows, by the names that predicates have.
    """

    capabilities: Capabilities | None = None


class ConfigFileForm(BaseSpec):
    """A config under another name than `config.json`: a family's own, when all of `keys` are in it."""

    name: Annotated[str, Field(pattern=r"^[\w.-]+\.json$")]
    keys: Names


class DocumentForm(ModelForm):
    """A whole spec."""

    schema_: Literal[1] | None = Field(None, alias="schema")
    architectures: Names | None = None
    model_types: Names | None = None
    config_file: ConfigFileForm | None = None
    conversions: dict[Literal["embed", "classify", "token_embed", "token_classify"], ModelForm | None] | None = None
    processor: str | None = None
    dummy_inputs: str | None = None
    transcription: str | None = None
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
