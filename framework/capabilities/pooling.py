"""Models that pool hidden rows into vectors and scores, and what they do by default."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar, cast, get_args, overload, runtime_checkable

from typing_extensions import TypeIs

from triptych.capabilities.base import TriptychModel, is_triptych_model
from triptych.capabilities.members import class_of, declared, written_on
from triptych.capabilities.predicates import Flagged
from triptych.capabilities.tasks import ScoreType
from triptych.errors import CapabilityError, Problem, suggest

if TYPE_CHECKING:
    from torch import Tensor

SequencePoolingType = Literal["CLS", "LAST", "MEAN"]
TokenPoolingType = Literal["ALL", "STEP"]
AttnType = Literal["decoder", "encoder", "encoder_only", "encoder_decoder", "attention_free", "hybrid"]

# Attribute of a class -> what it may read.
VALUES: dict[str, tuple[str, ...]] = {
    "default_seq_pooling_type": get_args(SequencePoolingType),
    "default_tok_pooling_type": get_args(TokenPoolingType),
    "attn_type": get_args(AttnType),
    "score_type": get_args(ScoreType),
}

Class = TypeVar("Class", bound=type)


@runtime_checkable
class Pooler(Protocol):
    """What a pooling model ends with; `triptych.parts.pooler` has one, and a class may write its own."""

    def __call__(self, hidden_states: Tensor, step: Any) -> Tensor:
        """Hidden rows [N, H] of packed sequences, cut by `step` -> a row for each sequence, float32.

        Of a model for late interaction, a row for each token, [N, D].
        """
        ...


@runtime_checkable
class PoolingModel(TriptychModel, Protocol):
    """A model with a pooler."""

    is_pooling_model: ClassVar[Literal[True]] = True
    default_seq_pooling_type: ClassVar[SequencePoolingType] = "LAST"
    default_tok_pooling_type: ClassVar[TokenPoolingType] = "ALL"
    attn_type: ClassVar[AttnType] = "decoder"
    score_type: ClassVar[ScoreType] = "bi-encoder"

    pooler: Pooler
    """On tensor rank 0 only."""


@runtime_checkable
class SupportsCrossEncoding(Protocol):
    """A model that scores a query and a document read as one sequence."""

    score_type: ClassVar[ScoreType] = "cross-encoder"


@runtime_checkable
class SupportsLateInteraction(Protocol):
    """A model that embeds each token; a score is the sum, over query tokens, of the best match in the document.

    score(q, d) = sum_i max_j q_i . d_j (Khattab and Zaharia 2020, "ColBERT", section 3.3)
    """

    score_type: ClassVar[ScoreType] = "late-interaction"


@runtime_checkable
class SupportsScoreTemplate(Protocol):
    """A model that writes a query and a document into one prompt of its own."""

    supports_score_template: ClassVar[Literal[True]] = True

    @classmethod
    @declared
    def get_score_template(cls, query: str, document: str) -> str | None:
        """The prompt that scores `document` for `query`; None for the plain pair."""
        ...

    @classmethod
    @declared
    def post_process_tokens(cls, prompt: Any) -> None:
        """Edit the tokenised prompt in place."""
        ...


supports_cross_encoding = Flagged[SupportsCrossEncoding]("supports_cross_encoding")
supports_late_interaction = Flagged[SupportsLateInteraction]("supports_late_interaction")
supports_score_template = Flagged[SupportsScoreTemplate]("supports_score_template")


@overload
def is_pooling_model(model: type[object]) -> TypeIs[type[PoolingModel]]: ...
@overload
def is_pooling_model(model: object) -> TypeIs[PoolingModel]: ...
def is_pooling_model(model: object) -> bool:
    """Whether the flag is up and it is a model at all."""
    return bool(getattr(model, "is_pooling_model", False)) and is_triptych_model(model)


def default_pooling_type(
    *, seq: SequencePoolingType | None = None, tok: TokenPoolingType | None = None
) -> Callable[[Class], Class]:
    """Decorate a class with what it pools a sequence and its tokens by; what is left out stays as it is.

    Raises CapabilityError for values that there are not, all of them together.
    """
    return _sets(default_seq_pooling_type=seq, default_tok_pooling_type=tok)


def attn_type(value: AttnType) -> Callable[[Class], Class]:
    """Decorate a class with the kind of attention it has. Raises CapabilityError for one that there is not."""
    return _sets(attn_type=value)


def get_default_seq_pooling_type(model: object) -> SequencePoolingType:
    """Which row of a sequence is pooled where nothing else is asked; LAST for a class that says nothing."""
    return cast(SequencePoolingType, getattr(model, "default_seq_pooling_type", "LAST"))


def get_default_tok_pooling_type(model: object) -> TokenPoolingType:
    """Which rows of tokens are kept where nothing else is asked; ALL for a class that says nothing."""
    return cast(TokenPoolingType, getattr(model, "default_tok_pooling_type", "ALL"))


def get_attn_type(model: object) -> AttnType:
    """How its layers attend; as a decoder for a class that says nothing."""
    return cast(AttnType, getattr(model, "attn_type", "decoder"))


def get_score_type(model: object) -> ScoreType:
    """The one score type other than "bi-encoder" that an instance or any class above it sets, else "bi-encoder".

    Raises CapabilityError when there are two.
    """
    found = dict(written_on(model, "score_type"))
    found.pop("bi-encoder", None)
    if len(found) > 1:
        told = " and ".join(f"{value!r} (from {owner})" for value, owner in found.items())
        raise CapabilityError(f"{class_of(model).__qualname__} has the score types {told}; a model has one")
    return cast(ScoreType, next(iter(found), "bi-encoder"))


def wrong_values(model: object) -> Iterator[Problem]:
    """What a class says of its pooling, attention and score that there is not."""
    for name in VALUES:
        if (value := getattr(model, name, None)) is not None:
            yield from _wrong(name, value, class_of(model).__qualname__)


def _wrong(name: str, value: object, owner: str) -> Iterator[Problem]:
    known: Collection[str] = VALUES[name]
    if value not in known:
        yield Problem(f"there is no {name} {value!r}{suggest(str(value), known)}", owner)


def _sets(**values: str | None) -> Callable[[Class], Class]:
    given = {name: value for name, value in values.items() if value is not None}

    def decorate(cls: Class) -> Class:
        if problems := [p for name, value in given.items() for p in _wrong(name, value, cls.__qualname__)]:
            raise CapabilityError(problems)
        for name, value in given.items():
            setattr(cls, name, value)
        return cls

    return decorate
