"""What a spec is made of, by the plan of its sample: the names of its parts, and its structure beside numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import BaseModel

from triptych.registry import get_part, part_names
from triptych.registry.part_targets import KINDS
from triptych.spec.base import PartSpec
from triptych.spec.catalog import sample_config
from triptych.spec.document import Tree
from triptych.spec.plan import plan


def parts_of(tree: Tree) -> tuple[str, ...]:
    """The parts that the sample is built of, `kind.name`, in order of their names."""
    names = _names()
    return tuple(sorted({names[type(part)] for part in _parts(_layers(tree)) if type(part) in names}))


def structure_of(tree: Tree) -> str:
    """A word for what the sample's layers are, sizes left out: of two specs with the same it differs only in names."""
    return hashlib.sha256(repr(_shape(_layers(tree))).encode()).hexdigest()[:12]


def _layers(tree: Tree) -> tuple[Any, ...]:
    """The language model as it is planned; of layers that are alike the first."""
    text = plan(tree, sample_config(tree)).language_model
    assert text is not None
    distinct = {repr(_shape(layer)): layer for layer in reversed(text.layers)}
    return (text.embed, *reversed(distinct.values()), text.norm, text.head)


def _shape(value: object) -> object:
    """A plan without its numbers: what is there, what is not, which part, which word."""
    if isinstance(value, BaseModel):
        return type(value).__name__, [(name, _shape(getattr(value, name))) for name in type(value).model_fields]
    if is_dataclass(value):
        return [(field.name, _shape(getattr(value, field.name))) for field in fields(value)]
    if isinstance(value, tuple | list):
        return [_shape(item) for item in value]
    return value if value is None or isinstance(value, bool | str) else type(value).__name__


def _parts(value: object) -> Iterator[PartSpec]:
    """Every part in a plan, those inside others too."""
    if isinstance(value, PartSpec):
        yield value
    if isinstance(value, BaseModel):
        yield from _parts([getattr(value, name) for name in type(value).model_fields])
    elif is_dataclass(value):
        yield from _parts([getattr(value, field.name) for field in fields(value)])
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _parts(item)


def _names() -> dict[type, str]:
    """Spec -> the name that it is registered by; activations are plain functions, and no parts here."""
    kinds = [kind for kind in KINDS if kind != "activation"]
    return {get_part(kind, name).spec: f"{kind}.{name}" for kind in kinds for name in part_names(kind)}
