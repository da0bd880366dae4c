"""A spec's weights table as what hand-written models have: the same plan, and a mapper."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from typing_extensions import override

from triptych.errors import WeightMapError
from triptych.spec.base import PartSpec
from triptych.weights.dry_run import Plan
from triptych.weights.mapper import Mapper, Target, part_of
from triptych.weights.matching import Matching
from triptych.weights.shards import names_of, transformed
from triptych.weights.table import Table, filled, key_of

_CAPTURE = re.compile(r"\{\w+\}")


def plan_of(matching: Matching) -> Plan:
    """What a matching says, as a plan."""
    mapped: dict[str, tuple[Target, ...]] = {}
    for path, shards in matching.shards.items():
        for number, shard in enumerate(shards):
            if shard.stored is not None:
                target = Target(path, number if len(shards) > 1 or shard.index is not None else None)
                for name in (shard.name, *(shard.scales or ())[:1]):
                    mapped[name] = (*mapped.get(name, ()), target)
    return Plan(mapped, (*matching.dropped, *matching.unneeded), matching.findings)


@dataclass(frozen=True)
class TableMapper(Mapper):
    """The table for one model, name by name: where a tensor goes and through which transforms, and what is dropped.

    Another name stays as it is, and so do those that the model itself has. A tensor that parameters share goes to each.
    """

    places: Mapping[str, tuple[tuple[Target, tuple[PartSpec, ...]], ...]]
    dropped: tuple[re.Pattern[str], ...]

    @override
    def targets(self, name: str) -> tuple[Target, ...]:
        if places := self.places.get(name):
            return tuple(target for target, _ in places)
        return () if any(pattern.match(name) for pattern in self.dropped) else (Target(name),)

    @override
    def apply(self, weights: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
        """The tensors after their transforms, under their new names, each with its `.shard_id`."""
        for name, tensor in weights:
            for target, via in self.places.get(name) or [(target, ()) for target in self.targets(name)]:
                yield target.name, part_of(transformed(tensor, via), target.shard)


def mapper_of(table: Table, model: nn.Module) -> TableMapper:
    """What gives every tensor the name, and the shard, that the table gives it in this model.

    A source that may be absent is like any other: what it stands for is then missing. Raises WeightMapError for one
    that is read beside its scales: tensors come one after the other here.
    """
    places: dict[str, tuple[tuple[Target, tuple[PartSpec, ...]], ...]] = {}
    for path, parameter in model.named_parameters():
        if (found := table.find(path)) is None:
            continue
        named = [*names_of(path, found, count=len(parameter) if parameter.ndim else 0)]
        for number, (name, source, index) in enumerate(named):
            if source.scales is not None:
                raise WeightMapError(f"{name!r} is packed; only a folder is read with its scales beside", path=path)
            target = Target(path, number if len(named) > 1 or index is not None else None)
            places[name] = (*places.get(name, ()), (target, source.via))
    dropped = (_at_or_below(template) for template in (*table.drop, *_unneeded(table, model)))
    return TableMapper(places, tuple(dropped))


def _unneeded(table: Table, model: nn.Module) -> Iterator[str]:
    """What stands on disk for that which is not built on purpose."""
    skipped: Iterable[str] = getattr(model, "skipped", ())
    for path in skipped:
        key, steps = key_of(path), tuple(path.split("."))
        for row in table.rows.values():
            if row.key[: len(key)] == key:
                yield from (filled(source.name, row.captures(steps)) for source in row.sources)


def _at_or_below(template: str) -> re.Pattern[str]:
    """Names at or below a template, in which a capture is any one step."""
    steps = (r"[^.]+" if _CAPTURE.fullmatch(step) else re.escape(step) for step in template.split("."))
    return re.compile(rf"{r'[.]'.join(steps)}(?=[.]|$)")
