"""How far a spec's logits are from those of its reference, over every case of the parity tests."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.parity.cases import Case, all_cases
from tests.parity.oracle import build_oracle, rms_ratio
from tests.parity.test_text import Pair


def errors(spec: str) -> tuple[float | None, bool]:
    """The worst RMS ratio over the cases of a spec, and whether all are within tolerance; (None, False) without one."""
    found = [_error(case) for case in _cases().get(spec, ())]
    return (max(error for error, _ in found), all(error <= most for error, most in found)) if found else (None, False)


@cache
def _cases() -> dict[str, list[Case]]:
    found = dict[str, list[Case]]()
    for case in all_cases():
        found.setdefault(case.spec, []).append(case)
    return found


def _error(case: Case) -> tuple[float, float]:
    """The worst RMS ratio over prompts of several lengths, and the tolerance."""
    with TemporaryDirectory() as folder:
        pair = Pair(case, build_oracle(case.config, Path(folder), seed=case.seed))
        worst = max(rms_ratio(pair.model.logits(ids), pair.oracle.logits(ids)) for ids in pair.prompts)
        return worst, pair.tolerance
