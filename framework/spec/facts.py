"""What a model of a spec can do, as the spec alone shows and declares it: no config, no torch, nothing built.

What depends on the config is taken as it is where no config says otherwise: attention is causal, a sub-model writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

from pydantic import BaseModel

from triptych.capabilities.mrope import SupportsMultiModalPruning
from triptych.capabilities.pooling import AttnType, SequencePoolingType
from triptych.capabilities.report import CapabilityReport
from triptych.capabilities.table import CAPABILITIES, State
from triptych.capabilities.tasks import ScoreType
from triptych.errors import CapabilityError
from triptych.registry.model_info import ModelInfo
from triptych.spec.base import PartSpec
from triptych.spec.catalog import load_named
from triptych.spec.document import Tree
from triptych.spec.draft import words_of
from triptych.spec.mapping import tree_of
from triptych.spec.merge import merge
from triptych.spec.mixers import kept_by, mixers_in, mixing_in
from triptych.spec.scope import Scope
from triptych.spec.structure import check_structure

SEQUENCE_POOLING: dict[object, SequencePoolingType] = {"first": "CLS", "last": "LAST", "mean": "MEAN"}
"""`take` of a pooler -> the convention's word for it; `max` has none."""

_SCORES: dict[str, ScoreType] = {
    "supports_cross_encoding": "cross-encoder",
    "supports_late_interaction": "late-interaction",
}


def model_info(tree: Tree, *, architecture: str) -> ModelInfo:
    """The record of a spec's model. Raises SpecError for a spec of the wrong form, CapabilityError for two scores."""
    check_structure(tree)
    can = capabilities_of(tree)
    record = ModelInfo(
        architecture=architecture,
        is_text_generation_model=writes(tree),
        attn_type=attention_of(tree),
        default_seq_pooling_type=SEQUENCE_POOLING.get(_pooler(tree).get("take", "last"), "LAST"),
        score_type=score_type(can),
    )
    flags: dict[str, Any] = {name: True for name in can if hasattr(record, name)}  # all of them of bool
    methods = SupportsMultiModalPruning.supported_video_pruning_methods if "supports_multimodal_pruning" in can else ()
    return replace(record, **flags, supported_video_pruning_methods=methods)


def spec_report(spec: str | Mapping[str, object]) -> CapabilityReport:
    """What a spec (a registered name, the path of a YAML file, a merged tree) declares; a built model proves it."""
    name, tree = load_named(spec) if isinstance(spec, str) else ("spec", _tree(spec))
    check_structure(tree)
    states: dict[str, State] = dict.fromkeys(CAPABILITIES, "absent")
    for capability in capabilities_of(tree):
        states[capability] = "declared" if CAPABILITIES[capability].needs else "declared only"
    return CapabilityReport(name, states, (), ())


def _tree(spec: Mapping[str, object]) -> Tree:
    return spec if isinstance(spec, Tree) else tree_of(spec, origin="the mapping")


def capabilities_of(tree: Tree) -> list[str]:
    """What the structure shows and what `capabilities` says, by the names of predicates."""
    said, seen = declared(tree), {*shown(tree)}
    return [name for name in CAPABILITIES if said.get(name, name in seen)]


def declared(tree: Tree) -> dict[str, bool]:
    """What a spec says under `capabilities`; null takes back what a base says."""
    return {name: value for name, value in (tree.get("capabilities") or {}).items() if value is not None}


def writes(tree: Tree) -> bool:
    """Whether the model has a head over the vocabulary. Beside towers there is always one."""
    text = tree.get("language_model")
    if not text:
        return False
    child = _child(text)
    return writes(child) if child else bool(_towers(tree) or text.get("spec") or text.get("head") is not None)


def attention_of(tree: Tree) -> AttnType:
    """ "encoder_decoder" when a layer looks at an encoder's rows; "encoder_only" when none attends causally.

    "hybrid" when some keep a state and some attend, "attention_free" when none of those attends.
    Layers are those of the language model, or of the one tower.
    """
    kind = "language_model" if tree.get("language_model") else "tower"
    stack = tree.get(kind) or Tree()
    if child := _child(stack):
        return attention_of(child)
    found = [*mixing_in(tree, stack)]
    if any("source" in known.model_fields for known, _ in found):
        return "encoder_decoder"
    recurrent, attends = keeps(tree)
    if recurrent:
        return "hybrid" if attends else "attention_free"
    causal = {causal for known, fields in found for causal in _causal(known, fields)}
    return "encoder_only" if causal == {False} else "decoder"


def has_experts(tree: Tree) -> bool:
    """Whether layers of the language model may have experts; a config may still leave it without one."""
    stack = tree.get("language_model") or Tree()
    if child := _child(stack):
        return has_experts(child)
    return any("experts" in known.model_fields for known, _ in mixing_in(tree, stack))


def keeps(tree: Tree) -> tuple[bool, bool]:
    """Whether layers of the language model may keep a state, and whether some may attend to rows that are kept."""
    stack = tree.get("language_model") or Tree()
    if child := _child(stack):
        return keeps(child)
    return kept_by(known for known, _ in mixing_in(tree, stack) if issubclass(known, PartSpec))


def crosses(tree: Tree) -> bool:
    """Whether layers may take more from earlier ones than rows, which the stages of a pipeline do not send."""
    text = tree.get("language_model") or Tree()
    if child := _child(text):
        return crosses(child)
    return (text.get("layers") or {}).get("loops") is not None or any(mixer.crosses for mixer in mixers_in(tree))


def score_type(capabilities: list[str]) -> ScoreType:
    """The kind of score among capabilities. Raises CapabilityError when there are two."""
    found = [_SCORES[name] for name in capabilities if name in _SCORES]
    if len(found) > 1:
        raise CapabilityError(f"the score types {' and '.join(map(repr, found))}; a model has one")
    return found[0] if found else "bi-encoder"


def shown(tree: Tree) -> Iterator[str]:
    """The capabilities that the structure of a spec shows, whatever it says of them."""
    text = tree.get("language_model") or Tree()
    if text:
        yield "supports_multimodal_embeddings"
        if not crosses(tree):
            yield "supports_pp"
        if writes(tree):
            yield "supports_eagle3"
    if writes(tree) and text.get("spec") is None and not _towers(tree) and has_experts(tree):
        yield "is_mixture_of_experts"
    yield from _kept(tree) if writes(tree) else ()
    if text and _towers(tree):
        yield "supports_multimodal"
        yield "supports_tower_connector_lora"
        if tree.get("positions") is not None:
            yield from ("supports_mrope", "supports_multimodal_pruning")
    if tree.get("pooler") is not None:
        yield "is_pooling_model"
    pooler = _pooler(tree)
    labels, per_token = pooler.get("labels") is not None, _is_per_token(tree, pooler)
    if labels and not per_token:
        yield "supports_cross_encoding"
    if per_token and not labels:
        yield "supports_late_interaction"


def _kept(tree: Tree) -> Iterator[str]:
    recurrent, attends = keeps(tree)
    if recurrent:
        yield "has_inner_state"
        yield "is_hybrid" if attends else "is_attention_free"


def _towers(tree: Tree) -> list[str]:
    return [name for name, tower in (tree.get("towers") or {}).items() if tower]


def _pooler(tree: Tree) -> Tree:
    """What a spec says of its pooler, with what that is like; empty without one."""
    return Scope.of("", tree, {}).derived("parts", tree.get("pooler") or Tree())[1]


def _is_per_token(tree: Tree, pooler: Tree) -> bool:
    """Whether the part gives a row for each token, as its Spec says."""
    use = words_of(pooler.get("use"))
    if not use or len(use) != 1:
        return False
    return bool(getattr(Scope.of("", tree, {}).spec_class("pooler", use.pop(), None), "per_token", False))


def _child(stack: Tree) -> Tree | None:
    """The spec that a sub-model names, as its parent changes it; None when a config names it, or there is none."""
    names = words_of(stack.get("spec"))
    if not names or len(names) != 1:
        return None
    return cast(Tree, merge(load_named(names.pop())[1], stack.get("with") or Tree()))


def _causal(known: type[BaseModel], fields: Tree) -> Iterator[bool]:
    """Of a mixer that attends, whether it is causal; what only a config can tell counts as causal."""
    reach = known.model_fields.get("reach")
    if isinstance(causal := getattr(reach and reach.default, "causal", None), bool):
        given = (fields.get("reach") or Tree()).get("causal")
        yield (causal if given is None else given) is not False
