"""How far a spec's logits are from those of its reference, over every case of the parity tests."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.parity.cases import Case, all_cases
from tests.parity.oracle import rms_ratio
from tests.parity.text import Pair


def errors(spec: str) -> tuple[float | None, bool]:
    """The worst RMS ratio over the cases of a spec, and whether all are within tolerance; (None, False) without one."""
    found = [error_of(case) for case in cases().get(spec, ())]
    return (max(error for error, _ in found), all(error <= most for error, most in found)) if found else (None, False)


@cache
def cases() -> dict[str, list[Case]]:
    """The cases of each spec."""
    found = dict[str, list[Case]]()
    for case in all_cases():
        found.setdefault(case.spec, []).append(case)
    return found


def error_of(case: Case) -> tuple[float, float]:
    """The worst RMS ratio over prompts of several lengths, and the tolerance."""
    with TemporaryDirectory() as folder:
        pair = Pair.of(case, Path(folder))
        wanted = [pair.oracle.logits(ids) for ids in pair.prompts]
        found = [pair.model.logits(ids) for ids in pair.prompts]
        return max(map(rms_ratio, found, wanted)), pair.tolerance
