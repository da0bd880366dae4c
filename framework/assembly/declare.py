"""What a built model says that it can do: what its plan shows, and what its spec declares once that is proven."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from triptych.capabilities.pooling import AttnType
from triptych.capabilities.table import CAPABILITIES, Capability
from triptych.errors import CapabilityError, Problem
from triptych.registry.named import get_transcription
from triptych.spec.facts import SEQUENCE_POOLING, crosses, declared, score_type
from triptych.spec.mixers import kept_by
from triptych.spec.plan import ModelPlan
from triptych.spec.sources import source_of
from triptych.spec.stack import mixers_of

IN_ONE_STAGE = {"supports_pp": False, "make_empty_intermediate_tensors": None}
"""What a model has in place of members that make stages of it, where layers take more than rows."""


def declare(module: nn.Module, planned: ModelPlan) -> None:
    """Set the flags of a built model on it: a pooler, say, makes a pooling model of any class.

    Raises CapabilityError, each at its place in the spec, for every flag whose members the module has not, for what it
    has and the spec denies, and for two kinds of score.
    """
    if planned.transcription:
        _lend(module, get_transcription(planned.transcription))
    said = declared(planned.scopes[""].tree)
    names = [*_shown(planned), *(name for name, value in said.items() if value)]
    for name in names:
        _raise_flag(module, CAPABILITIES[name])
    if crosses(planned.scopes[""].tree):
        for name, value in IN_ONE_STAGE.items():
            setattr(module, name, value)
    if problems := [p for name, value in said.items() for p in _wrong(module, planned, name, value=value)]:
        raise CapabilityError(problems)
    score_type([*dict.fromkeys(names)])
    take = SEQUENCE_POOLING.get(getattr(planned.pooler, "take", "last"), "LAST")
    for name, kind in {"attn_type": _attention(planned), "default_seq_pooling_type": take}.items():
        setattr(module, name, kind)


def _lend(module: nn.Module, kind: type) -> None:
    """The public members of a class that the module has not."""
    for name in dir(kind):
        if not name.startswith("_") and not hasattr(module, name):
            setattr(module, name, getattr(kind, name))


def _shown(planned: ModelPlan) -> Iterator[str]:
    """What the class of the module does not say already."""
    if planned.pooler is not None:
        yield "is_pooling_model"
    labels, per_token = (getattr(planned.pooler, name, None) for name in ("labels", "per_token"))
    if labels is not None and not per_token:
        yield "supports_cross_encoding"
    if labels is None and per_token:
        yield "supports_late_interaction"


def _raise_flag(module: nn.Module, row: Capability) -> None:
    if row.flag and not row.is_declared(module):
        setattr(module, row.flag, row.value)


def _wrong(module: nn.Module, planned: ModelPlan, name: str, *, value: bool) -> Iterator[Problem]:
    row, said = CAPABILITIES[name], planned.scopes[""].tree["capabilities"]
    path, place = f"capabilities.{name}", said.values_at.get(name)
    if value and (missing := row.missing(module)):
        lacks = ", ".join(map(str, missing))
        yield Problem(f"{planned.name} declares it, and the built model lacks what that needs: {lacks}", path, place)
    if not value and row.is_declared(module):
        yield Problem(f"{planned.name} denies it, and the built model has it", path, place)


def _attention(planned: ModelPlan) -> AttnType:
    """Of the language model, or of the one tower."""
    stack = planned.language_model or next(iter(planned.towers.values()))
    mixers = [*mixers_of(stack.layers)]
    if any(map(source_of, mixers)):
        return "encoder_decoder"
    recurrent, attends = kept_by(map(type, mixers))
    if recurrent:
        return "hybrid" if attends else "attention_free"
    causal = {found for mixer in mixers if isinstance(found := getattr(mixer, "causal", None), bool)}
    return "encoder_only" if causal == {False} else "decoder"
