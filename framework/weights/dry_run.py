"""What a loader would make of a checkpoint, from names and shapes alone: nothing is read, nothing is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import nn

from triptych.arguments import check_arguments
from triptych.errors import WeightMapError
from triptych.weights.faults import missing, problems
from triptych.weights.mapper import Mapper, ShardId, Target, WeightsMapper
from triptych.weights.shards import Fault, Finding
from triptych.weights.slots import Slots, is_bias, is_rotary_table

MAX_HINTS = 10  # near names are slow to look for


class HasShape(Protocol):
    """A tensor, or what a header says of one."""

    @property
    def shape(self) -> Sequence[int]: ...


@dataclass(frozen=True)
class Plan:
    """Where each tensor of a checkpoint would go.

    `mapped` are names on disk and their places in the model, `dropped` names that are not needed, `findings` all that
    does not fit, `absent` the paths of what is not built on purpose.
    """

    mapped: Mapping[str, tuple[Target, ...]]
    dropped: tuple[str, ...]
    findings: tuple[Finding, ...] = ()
    absent: tuple[str, ...] = ()

    @property
    def unmatched(self) -> tuple[str, ...]:
        """The new names of tensors that nothing in the model takes."""
        return self._paths("unexpected")

    @property
    def doubly_matched(self) -> tuple[str, ...]:
        """Parameters that two tensors go to, and names that two rules match."""
        return self._paths("doubly matched")

    @property
    def missing(self) -> tuple[str, ...]:
        """Parameters, or pieces of them, that nothing goes to."""
        return self._paths("missing")

    @property
    def shape_mismatched(self) -> tuple[str, ...]:
        """Parameters that a tensor of another shape goes to."""
        return self._paths("wrong shape")

    def _paths(self, fault: Fault) -> tuple[str, ...]:
        return tuple(dict.fromkeys(finding.path for finding in self.findings if finding.fault == fault))

    def report(self, checkpoint: str = "checkpoint") -> str:
        """One line of counts, and one for each thing that does not fit."""
        head = f"{checkpoint}: {len(self.mapped)} tensors mapped, {len(self.dropped)} dropped"
        found = problems(self.findings, absent=self.absent, subject=checkpoint)
        return "\n".join([f"{head}, {len(self.findings)} do not fit" if found else head, *map(str, found)])

    def check(self, checkpoint: str = "checkpoint") -> None:
        """Raise WeightMapError with all that does not fit; nothing happens when all fits."""
        if found := problems(self.findings, absent=self.absent, subject=checkpoint):
            raise WeightMapError(found)


def plan(names: Iterable[str] | Mapping[str, HasShape], model: nn.Module, mapper: Mapper | None = None) -> Plan:
    """What `AutoWeightsLoader(model).load_weights` would make of these names, each renamed by `mapper`.

    Given what has shapes under the names, it compares shapes too, but for parameters with a `weight_loader`, which may
    cut as it likes. It knows nothing of what a child's own `load_weights` does with names.
    """
    check_arguments(names=(names, Iterable), model=(model, nn.Module))
    draft = _Draft(Slots(model), names if isinstance(names, Mapping) else {})
    for name in names:
        draft.add(name, mapper or WeightsMapper())
    return draft.plan()


class _Draft:
    def __init__(self, slots: Slots, shapes: Mapping[str, HasShape]) -> None:
        self.slots, self.shapes = slots, shapes
        self.mapped: dict[str, tuple[Target, ...]] = {}
        self.dropped: list[str] = []
        self.findings: list[Finding] = []
        self.aliases: dict[str, str] = {}
        self.users: dict[str, list[tuple[ShardId | None, str]]] = {}

    def add(self, name: str, mapper: Mapper) -> None:
        try:
            wanted = [target for target in mapper.targets(name) if not self._passes_over(target.name)]
        except WeightMapError as error:
            self.findings.append(Finding("doubly matched", name, error.problems[0].message))
            return
        if taken := tuple(target for target in wanted if self._take(name, target)):
            self.mapped[name] = taken
        elif not wanted:
            self.dropped.append(name)

    def _passes_over(self, name: str) -> bool:
        """What no parameter needs: tables, other names of a parameter, biases of nothing, what is not built."""
        slot = self.slots.by_name.get(name)
        if is_rotary_table(name):
            return True
        if slot is None:
            return is_bias(name) or self.slots.is_absent(name)
        if slot.name != name:
            self.aliases[slot.name] = name
        return slot.name != name

    def _take(self, name: str, target: Target) -> bool:
        """Whether the model has the place."""
        if (slot := self.slots.by_name.get(target.name)) is None:
            message = self.slots.unknown(target.name, near=len(self.findings) < MAX_HINTS)
            self.findings.append(Finding("unexpected", target.name, message))
            return False
        users = self.users.setdefault(slot.name, [])
        for shard, other in users:
            if slot.share(shard, target.shard):
                self.findings.append(Finding("doubly matched", slot.name, f"{name!r} and {other!r} on disk go there"))
        users.append((target.shard, name))
        if (found := self.shapes.get(name)) is not None and (misfit := slot.misfit(found.shape, target.shard)):
            self.findings.append(Finding("wrong shape", slot.name, misfit))
        return True

    def plan(self) -> Plan:
        seen = {
            name: {number for shard, _ in users for number in self.slots.by_name[name].pieces_of(shard)}
            for name, users in self.users.items()
        }
        findings = (*self.findings, *missing(self.slots, seen, self.aliases))
        return Plan(self.mapped, tuple(self.dropped), findings, tuple(self.slots.absent()))
