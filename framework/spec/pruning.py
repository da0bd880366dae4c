"""Videos of which the rows that differ least from the moment before are left out: how many rows stay. No torch."""

from __future__ import annotations

from dataclasses import replace

from triptych.spec.item_facts import ItemFacts, ProcessorConfig
from triptych.spec.tokens import TokenRule


def rows_kept(rows: int, *, moments: int, rate: float) -> int:
    """How many of a video's rows stay where a share of them, `rate`, is left out: those of a moment at the least."""
    return max(rows // moments, int(rows * (1 - rate)))


def pruned(rule: TokenRule, rate: float) -> TokenRule:
    """The rule for the videos of a model that leaves out a share of their rows."""
    count, grid = rule.count, rule.grid
    assert grid is not None

    def kept(item: ItemFacts, processor: ProcessorConfig) -> int:
        return rows_kept(count(item, processor), moments=next(iter(grid(item, processor))), rate=rate)

    return replace(rule, count=kept, whole=count, pruning=rate)
