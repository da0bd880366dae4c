"""The ladder's rungs by name, and what was found on each: the answer of `validate` and of `check`. No torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from triptych.errors import OptionError, Problem, SpecError
from triptych.spec.claims import claim_problems
from triptych.spec.merge import load_tree
from triptych.spec.validate import validate

RUNGS = {
    "spec": "the grammar, the types and the names of a spec",
    "capabilities": "what a spec says that it can do, against what it holds",
    "shape": "a model without memory gives the widths, counts and schemas that are declared",
    "weights": "the table of names, against the header of a checkpoint",
    "gpu": "the kernels that its steps launch compile for a GPU that is not there, and fit it",
}
"""Name -> what is proven there, from the bottom up; the first is rung 1."""
ON_FILES = ("spec", "capabilities")
GPUS = {"sm_80": 80, "sm_90": 90, "sm_100": 100}
"""The architectures for which kernels are compiled -> their compute capability, times 10."""
KNOWN = "sm_80 (A100), sm_90 (H100), sm_100 (B200)"
BELOW = "a rung below it failed"


@dataclass
class Rung:
    """One rung: what was found wrong, what is worth saying, and why it was left out if it was."""

    name: str
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    skipped: str = ""

    @property
    def number(self) -> int:
        return [*RUNGS].index(self.name) + 1

    @property
    def state(self) -> str:
        return "failed" if self.problems else "skipped" if self.skipped else "passed"


@dataclass(frozen=True)
class Report:
    """The rungs of one spec as far as was asked; `file` is where it stands, '' when it was not found."""

    name: str
    rungs: tuple[Rung, ...]
    file: str = ""

    @property
    def passed(self) -> bool:
        return not any(rung.problems for rung in self.rungs)


def rungs_up_to(word: str, *, among: Iterable[str] = RUNGS) -> tuple[str, ...]:
    """The rungs up to the one that `word` names or numbers. Raises OptionError for one that is not `among` them."""
    names = [*among]
    numbers = {str(number): name for number, name in enumerate(names, 1)}
    if (last := numbers.get(word, word)) not in names:
        known = ", ".join(f"{number} or {name}" for number, name in numbers.items())
        raise OptionError(f"no rung {word!r} here; known: {known}")
    return tuple(names[: names.index(last) + 1])


def gpu_named(word: str) -> int:
    """The compute capability, times 10, of an architecture by name. Raises OptionError for one that is not known."""
    if word not in GPUS:
        raise OptionError(f"no architecture {word!r} here; known: {KNOWN}", path="gpu")
    return GPUS[word]


def validate_file(path: Path, *, rungs: Iterable[str] = ON_FILES) -> Report:
    """What is wrong with the spec in a file, on the rungs that need no torch."""
    report = Report(str(path), tuple(map(Rung, rungs)), str(path))
    spec, *above = report.rungs
    spec.problems += validate(path)
    for rung in above:
        if spec.problems:
            rung.skipped = BELOW
        else:
            rung.problems += _claims(path)
    return report


def _claims(path: Path) -> list[Problem]:
    try:
        return [*claim_problems(load_tree(path))]
    except SpecError as error:  # of a sub-model's spec
        return [*error.problems]
