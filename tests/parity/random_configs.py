"""Random configs of a family: a few of its variations at once, with sizes of their own.

Of a config that the reference cannot be built of, nothing is asked; one that a spec refuses is told by its refusal.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.parity.cases import Case
from tests.parity.measure import cases, error_of
from triptych.errors import TriptychError

RESIZED: Mapping[str, st.SearchStrategy[Any]] = {
    "vocab_size": st.integers(100, 300),
    "intermediate_size": st.integers(3, 20).map(lambda n: 8 * n),
    "moe_intermediate_size": st.integers(3, 10).map(lambda n: 8 * n),
    "num_key_value_heads": st.sampled_from([1, 2, 4]),
    "num_experts_per_tok": st.integers(1, 3),
    "rms_norm_eps": st.sampled_from([1e-6, 1e-3, 0.05]),
    "layer_norm_eps": st.sampled_from([1e-6, 1e-3, 0.05]),
    "layer_norm_epsilon": st.sampled_from([1e-6, 1e-3, 0.05]),
    "tie_word_embeddings": st.booleans(),
}
"""What any family may have more or less of; whether a config can bear it, its reference says."""
TOGETHER = 3


@st.composite
def random_cases(draw: st.DrawFn, cases: tuple[Case, ...]) -> Case:
    """Up to `TOGETHER` cases of one family, the later over the earlier, and other numbers for some of its keys.

    They are cases whose files are rewritten in one way.
    """
    first = draw(st.sampled_from(cases))
    config: dict[str, Any] = {**first.config}
    plain, alike = cases[0].config, [case for case in cases if case.alias == first.alias]
    for case in draw(st.lists(st.sampled_from(alike), max_size=TOGETHER - 1)):
        config |= {key: value for key, value in case.config.items() if plain.get(key, ...) != value}
    for key in draw(st.sets(st.sampled_from(sorted(RESIZED.keys() & config.keys()) or [""]), max_size=3)):
        config |= {key: draw(RESIZED[key])} if key else {}
    name = f"random {zlib.crc32(repr(sorted(config.items(), key=str)).encode()):08x}"
    return Case(cases[0].spec, name, config, alias=first.alias, attention=cases[0].attention)


@dataclass
class Tally:
    """What came of the random configs of a spec: how many ended how, the worst error, what is wrong."""

    spec: str
    ends: Counter[str] = field(default_factory=Counter)
    worst: float = 0.0
    wrong: list[str] = field(default_factory=list)
    refusals: set[str] = field(default_factory=set)

    def add(self, case: Case) -> None:
        try:
            error, most = error_of(case)
        except TriptychError as refusal:
            self.ends["refused"] += 1
            self.refusals |= {str(refusal)}
        except Exception:  # whatever the reference raises of a config that it cannot be built of, or run
            self.ends["no reference"] += 1
        else:
            self.ends["same" if error <= most else "wrong"] += 1
            self.worst = max(self.worst, error)
            self.wrong += [] if error <= most else [f"{dict(case.config)}: {error:.0e}"]


def tally(spec: str, *, examples: int) -> Tally:
    """Try so many random configs of a spec, the same ones every time."""
    found, own = Tally(spec), tuple(cases()[spec])

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    @given(random_cases(own))
    def each(case: Case) -> None:
        found.add(case)

    each()
    return found
