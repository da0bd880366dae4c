"""What a model class says that it can do, against what it holds."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module

from triptych.capabilities.members import class_of
from triptych.capabilities.pooling import get_score_type, wrong_values
from triptych.capabilities.predicates import CapabilityWarning, disagreement
from triptych.capabilities.table import CAPABILITIES, State
from triptych.errors import CapabilityError, Problem, suggest

SPEC_REPORTED_BY = "triptych.spec.facts:spec_report"  # by name: specs stand above capabilities


@dataclass(frozen=True)
class CapabilityReport:
    """The state of every capability of one class or instance, and what contradicts or lacks a flag."""

    name: str
    states: dict[str, State]
    contradictions: tuple[Problem, ...]
    unflagged: tuple[str, ...]

    def __getitem__(self, capability: str) -> State:
        """Raises CapabilityError for a capability that there is not."""
        if capability not in self.states:
            raise CapabilityError(f"unknown capability {capability!r}{suggest(capability, self.states)}")
        return self.states[capability]

    def __str__(self) -> str:
        """A line a capability that is not absent."""
        lines = [f"{state:<14} {name}" for name, state in self.states.items() if state != "absent"]
        return "\n".join([self.name, *lines])


def capability_report(model: object) -> CapabilityReport:
    """The report on a model class or an instance; nothing is raised. An instance can prove more than its class.

    A spec (a registered name, the path of a YAML file, a merged tree) is reported on as it is written: what it shows
    or says is declared, and only the model that is built of it can prove that. Raises SpecError for what is none.
    """
    if isinstance(model, str | Mapping):
        module, _, name = SPEC_REPORTED_BY.partition(":")
        report: CapabilityReport = getattr(import_module(module), name)(model)
        return report
    states = {name: row.state(model) for name, row in CAPABILITIES.items()}
    unflagged = [disagreement(CAPABILITIES[name], model) for name, state in states.items() if state == "implemented"]
    return CapabilityReport(class_of(model).__qualname__, states, tuple(_wrong(model, states)), tuple(unflagged))


def check_capabilities(model: object) -> None:
    """Raise CapabilityError with everything that a class or an instance declares and does not hold.

    Warns of members whose flag is not set.
    """
    report = capability_report(model)
    for message in report.unflagged:
        warnings.warn(message, CapabilityWarning, stacklevel=2)
    if report.contradictions:
        raise CapabilityError(report.contradictions)


def _wrong(model: object, states: dict[str, State]) -> Iterator[Problem]:
    for name, state in states.items():
        if state == "contradicted":
            yield Problem(disagreement(CAPABILITIES[name], model))
    yield from wrong_values(model)
    try:
        get_score_type(model)
    except CapabilityError as error:
        yield from error.problems
