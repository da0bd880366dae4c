"""`triptych show NAME --capabilities`: what a model declares, holds, and shows to be so."""

from __future__ import annotations

from collections.abc import Sequence

from triptych.assembly import assemble
from triptych.capabilities import CapabilityReport, capability_report
from triptych.cli.class_named import find_class
from triptych.cli.output import print_json
from triptych.spec.catalog import load_named, sample_config
from triptych.spec.overrides import overridden


def show_capabilities(name: str, overrides: Sequence[str], *, as_json: bool) -> int:
    """Print the report on a spec, built of its sample config, or on a model class; 1 when something contradicts."""
    model = find_class(name, overrides)
    report = _of_spec(name, overrides) if model is None else capability_report(model)
    if as_json:
        wrong = [str(problem) for problem in report.contradictions]
        print_json({"name": name, "capabilities": report.states, "contradictions": wrong})
    else:
        _print(name, report)
    return int(bool(report.contradictions))


def _of_spec(name: str, overrides: Sequence[str]) -> CapabilityReport:
    name, tree = load_named(name)
    config = sample_config(overridden(tree, overrides), needed_by=name)
    return capability_report(assemble(tree, config, overrides=overrides, name=name).module)


def _print(name: str, report: CapabilityReport) -> None:
    present = {capability: state for capability, state in report.states.items() if state != "absent"}
    for capability, state in present.items():
        print(f"{capability:<36} {state}")
    if not present:
        print(f"{name} declares no capability")
    for problem in report.contradictions:
        print(problem)
