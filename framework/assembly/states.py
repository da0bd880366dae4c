"""Language models whose layers keep a state, as what plans memory sees them; and which class a spec or a plan has."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Literal

from torch import Tensor

from triptych.assembly.experts import ExpertsModel
from triptych.assembly.language_model import LanguageModel, TextModel
from triptych.capabilities.state import CopyFuncs, HasInnerState, IsAttentionFree, IsHybrid
from triptych.errors import SpecError
from triptych.parts.cache_needs import State
from triptych.settings import WHOLE, Stage
from triptych.spec.catalog import find_family, load_named, sample_config
from triptych.spec.document import Tree
from triptych.spec.facts import has_experts, keeps, writes
from triptych.spec.mixers import kept_by
from triptych.spec.plan import plan as plan_model
from triptych.spec.stack import StackPlan, mixers_of


class StateModel(HasInnerState):
    """`tree` is the spec of a class that is made of one; for others it is found by the config."""

    has_inner_state: ClassVar[Literal[True]] = True
    tree: ClassVar[Tree]

    @classmethod
    def get_mamba_state_shape_from_config(cls, config: Any) -> tuple[tuple[int, ...], ...]:
        """What the first layer with a state keeps of a sequence; `config` is a mapping, or settings with one.

        Raises SpecError for a config that the spec does not serve.
        """
        config = getattr(config, "config", config)
        return _state(getattr(cls, "tree", None), config).shapes

    @classmethod
    def get_mamba_state_copy_func(cls) -> CopyFuncs:
        """For each tensor of a state, what copies one sequence's to another's place, as a whole."""
        tree = getattr(cls, "tree", None)
        return (_copy,) * (2 if tree is None else len(_state(tree, sample_config(tree)).shapes))


class AttentionFreeModel(StateModel, IsAttentionFree):
    is_attention_free: ClassVar[Literal[True]] = True


class HybridModel(StateModel, IsHybrid):
    is_hybrid: ClassVar[Literal[True]] = True


def text_class(tree: Tree) -> type[TextModel]:
    """The class of a spec of tokens alone, whatever the config."""
    if not writes(tree):
        return TextModel
    return _class(has_experts(tree), *keeps(tree))


def language_model(plan: StackPlan, stage: Stage = WHOLE, *, added: int = 0) -> LanguageModel:
    """The language model of a plan beside towers, by what its layers have."""
    mixers = [*mixers_of(plan.layers)]
    some = any(hasattr(mixer, "experts") for mixer in mixers)
    return _class(some, *kept_by(map(type, mixers)))(plan, stage, added=added)


def state_kind(recurrent: bool, attends: bool) -> type[StateModel] | None:
    """What a class is beside its stack where some layers keep a state; None where none does."""
    return (HybridModel if attends else AttentionFreeModel) if recurrent else None


@cache
def _class(experts: bool, recurrent: bool, attends: bool) -> type[LanguageModel]:
    base: type[LanguageModel] = ExpertsModel if experts else LanguageModel
    kind = state_kind(recurrent, attends)
    return base if kind is None else type(f"{kind.__name__}With{base.__name__}", (kind, base), {"__module__": __name__})


def _state(tree: Tree | None, config: Mapping[str, Any]) -> State:
    found = plan_model(load_named(find_family(config))[1] if tree is None else tree, config)
    assert found.language_model is not None
    recurrent = [mixer for mixer in mixers_of(found.language_model.layers) if mixer.recurrent]
    if not recurrent:
        raise SpecError(f"{found.name}: with this config no layer keeps a state")
    need = recurrent[-1].build(width=found.language_model.width, key="").cache_need  # the first, taken from the end
    assert isinstance(need, State)
    return need


def _copy(source: Tensor, target: Tensor) -> None:
    target.copy_(source)
