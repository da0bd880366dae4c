"""A spec as a model class: built of settings like one that is written by hand, and loading its own weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, ClassVar

from torch import Tensor, nn

from triptych.assembly.assemble import assemble
from triptych.assembly.declare import IN_ONE_STAGE
from triptych.assembly.language_model import TextModel
from triptych.assembly.mrope import MRopeModel
from triptych.assembly.multimodal import MultimodalModel
from triptych.assembly.states import state_kind, text_class
from triptych.assembly.tower import Tower
from triptych.capabilities.table import CAPABILITIES
from triptych.errors import SpecError
from triptych.registry.named import get_transcription
from triptych.settings import Settings
from triptych.spec.conversion import converted
from triptych.spec.document import Tree
from triptych.spec.facts import capabilities_of, crosses, keeps, model_info
from triptych.weights import AutoWeightsLoader, Table, TableMapper, mapper_of, maybe_prefix, tables

Base = type[TextModel] | type[MultimodalModel] | type[Tower]


class FromSpec(nn.Module):
    """What a class made of a spec has of its own; its other base is the class that assembly builds."""

    tree: ClassVar[Tree]
    spec_name: ClassVar[str]
    convert: ClassVar[str | None]
    base: ClassVar[Base]
    _tables: list[Table]

    def __init__(self, *, settings: Settings, prefix: str = "") -> None:
        """Build for the settings' config, on meta. Raises SpecError with every mistake."""
        media, config = settings.multimodal, settings.config
        built = assemble(
            self.tree, config, convert=self.convert, name=self.spec_name, multimodal=media, stage=settings.stage
        )
        if type(built.module) is not self.base:
            found = type(built.module).__name__
            raise SpecError(f"{self.spec_name} is a {self.base.__name__}; this config makes a {found} of it")
        self.__dict__.update(vars(built.module))
        self._tables = tables(built.plan.scopes)
        for module in self.modules():
            if module is not self and isinstance(key := getattr(module, "key", None), str):
                module.__dict__["key"] = maybe_prefix(prefix, key)  # the rows of two models inside one stay apart

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        """Load every tensor, named as on disk, in any layout of the spec's table; the names of what was loaded.

        Raises what AutoWeightsLoader does.
        """
        found, weights = _layout([mapper_of(table, self) for table in self._tables], weights)
        return AutoWeightsLoader(self).load_weights(weights, mapper=found)


def model_class(tree: Tree, *, name: str, architecture: str, convert: str | None = None) -> type[FromSpec]:
    """The class of a spec, named after its architecture. Raises SpecError for a spec of the wrong form."""
    whole = converted(tree, convert, name=name) if convert else tree
    info = model_info(whole, architecture=architecture)
    body: dict[str, Any] = {"tree": tree, "spec_name": name, "convert": convert, "base": _base(whole)}
    body |= {"__module__": __name__, "__doc__": f"The spec {name}, built of settings."}
    body |= IN_ONE_STAGE if crosses(whole) else {}
    body |= {row.flag: row.value for row in map(CAPABILITIES.__getitem__, capabilities_of(whole)) if row.flag}
    body |= {"attn_type": info.attn_type, "default_seq_pooling_type": info.default_seq_pooling_type}
    if info.is_pooling_model:
        body["__annotations__"] = {"pooler": nn.Module}  # for its instances to hold
    kind = get_transcription(whole["transcription"]) if whole.get("transcription") else None
    states = state_kind(*keeps(whole)) if issubclass(body["base"], MultimodalModel) else None
    return type(architecture, (FromSpec, body["base"], *(each for each in (states, kind) if each)), body)


def _base(tree: Tree) -> Base:
    if not tree.get("language_model"):
        return Tower
    if any((tree.get("towers") or {}).values()):
        return MultimodalModel if tree.get("positions") is None else MRopeModel
    return text_class(tree)


def _layout(
    mappers: Sequence[TableMapper], weights: Iterable[tuple[str, Tensor]]
) -> tuple[TableMapper, Iterator[tuple[str, Tensor]]]:
    """The layout in which the tensors are named, after as few of them as tell; and all of the tensors."""
    seen, rest = list[tuple[str, Tensor]](), iter(weights)
    while len(mappers) > 1 and (item := next(rest, None)):
        seen.append(item)
        mappers = [mapper for mapper in mappers if item[0] in mapper.places] or mappers
    return mappers[0], chain(seen, rest)
