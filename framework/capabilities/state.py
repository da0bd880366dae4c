"""What the layers of a model keep between tokens: attention's rows, a state of fixed size, both, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Literal, Protocol, TypeVar, runtime_checkable

from triptych.capabilities.members import declared
from triptych.capabilities.predicates import Flagged

Kind = TypeVar("Kind")
CopyFuncs = tuple[Callable[..., object], ...]


@runtime_checkable
class HasInnerState(Protocol):
    """A model that keeps a state whose size does not grow with the text; it may read the scheduler's limits."""

    has_inner_state: ClassVar[Literal[True]] = True


@runtime_checkable
class IsAttentionFree(Protocol):
    """A model without attention, all of whose memory is a state of fixed size (Mamba, not Jamba)."""

    is_attention_free: ClassVar[Literal[True]] = True


@runtime_checkable
class IsHybrid(Protocol):
    """A model with attention and with layers that keep a state (Jamba)."""

    is_hybrid: ClassVar[Literal[True]] = True

    @classmethod
    @declared
    def get_mamba_state_shape_from_config(cls, config: Any) -> tuple[tuple[int, ...], ...]:
        """The shape of each state that one such layer keeps for one sequence."""
        ...

    @classmethod
    @declared
    def get_mamba_state_copy_func(cls) -> CopyFuncs:
        """One function a state, in the order of the shapes, that copies it from one place of the cache to another."""
        ...

    @classmethod
    def get_mamba_state_copy_funcs(cls, types: Iterable[Kind]) -> dict[Kind, CopyFuncs]:
        """The copy functions of each type of layer: the same under each, if not written."""
        return dict.fromkeys(types, cls.get_mamba_state_copy_func())


@runtime_checkable
class HasNoOps(Protocol):
    """A model some of whose blocks leave the hidden rows as they are."""

    has_noops: ClassVar[Literal[True]] = True


has_inner_state = Flagged[HasInnerState]("has_inner_state")
is_attention_free = Flagged[IsAttentionFree]("is_attention_free")
is_hybrid = Flagged[IsHybrid]("is_hybrid")
has_noops = Flagged[HasNoOps]("has_noops")
