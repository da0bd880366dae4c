"""Names on disk -> names of a hand-written model: tables of rewriting rules, applied in one order.

A spec has its `weights` table instead. Regular expressions come from Python code alone, never from YAML.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Protocol, TypeVar

from torch import Tensor
from typing_extensions import override

from triptych.arguments import check_arguments
from triptych.errors import Problem, WeightMapError
from triptych.weights.rule_types import mistyped_rules

ShardId = str | int | tuple[int, ...]
SHARD_ID = "shard_id"  # the attribute of a tensor that says which part of a parameter it is

T = TypeVar("T")


class Renaming(Protocol):
    """A rule that code makes; `WeightRenaming` of transformers is one."""

    def rename_source_key(self, source_key: str, /) -> tuple[str, object]:
        """The new name first; what comes with it is not read."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """Where a tensor goes: the name of a parameter, and the part of it (None: all of it)."""

    name: str
    shard: ShardId | None = None


class Mapper(ABC):
    """Says of every name on disk where its tensor goes."""

    @abstractmethod
    def targets(self, name: str) -> tuple[Target, ...]:
        """Where the tensor of that name goes: nowhere when it is dropped, several times for a list of shards."""

    def map_name(self, name: str) -> str | None:
        """The new name; None when the weight is dropped."""
        check_arguments(name=(name, str))
        targets = self.targets(name)
        return targets[0].name if targets else None

    def apply(self, weights: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
        """The weights under their new names, one after the other.

        A tensor that is part of a parameter carries `.shard_id`; given several shards, it comes once for each, always
        over the same storage.
        """
        for name, tensor in weights:
            for target in self.targets(name):
                yield target.name, part_of(tensor, target.shard)

    def apply_list(self, names: Iterable[str]) -> list[str]:
        """The new names, without those that are dropped."""
        check_arguments(names=(names, Iterable))
        return [new for name in names if (new := self.map_name(name)) is not None]

    def apply_dict(self, values: Mapping[str, T]) -> dict[str, T]:
        """The values under their new names, without those of names that are dropped.

        Raises WeightMapError when two names become one and their values are not the same.
        """
        check_arguments(values=(values, Mapping))
        found: dict[str, T] = {}
        for name, value in values.items():
            if (new := self.map_name(name)) is None:
                continue
            if found.setdefault(new, value) != value:
                raise WeightMapError(f"becomes {new!r}, as another name does that has another value", path=name)
        return found


@dataclass(frozen=True, kw_only=True)
class WeightsMapper(Mapper):
    """Rules old -> new, each on the result of the former, table by table in the order of the fields.

    A new name of None drops the weight. A `regex` rewrites every occurrence; a rule of `substr`, `prefix` and `suffix`
    one. `stacked` says which fragment becomes which, and the shard of the new parameter that it is, or a list of
    shards: fragments stand for whole dotted steps (dots around them say nothing), and at most one applies to a name.

    Raises WeightMapError for rules of other types, for two stacked rules that one run of steps could both match, and
    for a prefix or a suffix whose names a rule before it takes.
    """

    renaming: Sequence[Renaming] = ()
    regex: Mapping[re.Pattern[str], str | None] = field(default_factory=dict)
    substr: Mapping[str, str | None] = field(default_factory=dict)
    stacked: Mapping[str, tuple[str, ShardId | list[ShardId]]] = field(default_factory=dict)
    prefix: Mapping[str, str | None] = field(default_factory=dict)
    suffix: Mapping[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        tables = ("regex", "substr", "stacked", "prefix", "suffix")
        if mistyped := mistyped_rules({table: getattr(self, table) for table in tables}):
            raise WeightMapError(mistyped)
        problems = [
            *_overlapping(self.stacked),
            *_taken("prefix", self.prefix, str.startswith),
            *_taken("suffix", self.suffix, str.endswith),
        ]
        if problems:
            raise WeightMapError(problems)

    def __or__(self, other: WeightsMapper) -> WeightsMapper:
        """Both as one; where both have a rule for the same text, that of `other`."""
        return WeightsMapper(
            renaming=(*self.renaming, *other.renaming),
            regex={**self.regex, **other.regex},
            substr={**self.substr, **other.substr},
            stacked={**self.stacked, **other.stacked},
            prefix={**self.prefix, **other.prefix},
            suffix={**self.suffix, **other.suffix},
        )

    @override
    def targets(self, name: str) -> tuple[Target, ...]:
        """Raises WeightMapError when two stacked rules match, at different places of the name."""
        for rule in self.renaming:
            name, _ = rule.rename_source_key(name)
        fragments = _rewritten(_rewritten(name, self.regex, _by_regex), self.substr, _by_substr)
        if fragments is None:
            return ()
        stacked, shards = self._stacked(fragments)
        last = _rewritten(_rewritten(stacked, self.prefix, _by_prefix), self.suffix, _by_suffix)
        return () if last is None else tuple(Target(last, shard) for shard in shards)

    def _stacked(self, name: str) -> tuple[str, Sequence[ShardId | None]]:
        steps = name.split(".")
        hits = [(old, at) for old in self.stacked if (at := _find(_steps(old), steps)) is not None]
        if len(hits) > 1:
            rules = " and ".join(repr(old) for old, _ in hits)
            raise WeightMapError(f"the stacked rules {rules} both match; at most one may", path=name)
        if not hits:
            return name, (None,)
        ((old, at),) = hits
        new, shard = self.stacked[old]
        steps[at : at + len(_steps(old))] = _steps(new)
        return ".".join(steps), shard if isinstance(shard, list) else [shard]

    def get_rename_mapper(self) -> WeightsMapper:
        """The rules that rename alone, neither stacking nor dropping: for adapter names and quantisation lists."""
        return replace(
            self,
            regex=_kept(self.regex),
            substr=_kept(self.substr),
            stacked={},
            prefix=_kept(self.prefix),
            suffix=_kept(self.suffix),
        )


def part_of(tensor: Tensor, shard: ShardId | None) -> Tensor:
    """The same storage as a tensor of its own, so that the caller's carries no mark; None: the tensor itself."""
    if shard is None:
        return tensor
    part = tensor.detach()
    setattr(part, SHARD_ID, shard)
    return part


def _kept(table: Mapping[T, str | None]) -> dict[T, str | None]:
    return {old: new for old, new in table.items() if new is not None}


def _rewritten(
    name: str | None, table: Mapping[T, str | None], rule: Callable[[str, T, str | None], str | None]
) -> str | None:
    for old, new in table.items():
        if name is None:
            return None
        name = rule(name, old, new)
    return name


def _by_regex(name: str, old: re.Pattern[str], new: str | None) -> str | None:
    if new is None:
        return None if old.search(name) else name
    return old.sub(new, name)


def _by_substr(name: str, old: str, new: str | None) -> str | None:
    if old not in name:
        return name
    return None if new is None else name.replace(old, new, 1)


def _by_prefix(name: str, old: str, new: str | None) -> str | None:
    if not name.startswith(old):
        return name
    return None if new is None else new + name.removeprefix(old)


def _by_suffix(name: str, old: str, new: str | None) -> str | None:
    if not name.endswith(old):
        return name
    return None if new is None else name.removesuffix(old) + new


def _steps(fragment: str) -> list[str]:
    return fragment.strip(".").split(".")


def _find(part: list[str], steps: list[str]) -> int | None:
    """Where `part` first stands in `steps`."""
    places = range(len(steps) - len(part) + 1)
    return next((at for at in places if steps[at : at + len(part)] == part), None)


def _overlapping(fragments: Iterable[str]) -> Iterator[Problem]:
    for a, b in combinations(fragments, 2):
        if _overlap(_steps(a), _steps(b)):
            yield Problem(f"stacked rules {a!r} and {b!r} can match the same steps of a name; at most one may")


def _overlap(a: list[str], b: list[str]) -> bool:
    """Whether the two, laid one upon the other at some shift, agree wherever both stand."""
    return any(
        a[max(0, shift) : shift + len(b)] == b[max(0, -shift) : len(a) - shift] for shift in range(1 - len(b), len(a))
    )


def _taken(table: str, rules: Iterable[str], covers: Callable[[str, str], bool]) -> Iterator[Problem]:
    for first, second in combinations(rules, 2):
        if covers(second, first):
            yield Problem(f"{table} rule {first!r} takes every name that {second!r} after it stands for; put it last")
