"""What is counted of a module: its parameters, and the numbers that tokens leave in its cache."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from triptych.parts.cache_needs import CacheNeed, State


def parameters_of(module: nn.Module) -> int:
    """How many numbers its parameters are; one that stands in two places counts once."""
    return sum(parameter.numel() for parameter in module.parameters())


def cache_facts(needs: Iterable[CacheNeed]) -> dict[str, int]:
    """Numbers that a token leaves in the cache, how many of them are forgotten later, and numbers of a sequence."""
    found = {"cache": 0, "cache_in_windows": 0, "cache_in_states": 0}
    for need in needs:
        if isinstance(need, State):
            found["cache_in_states"] += need.size
            continue
        found["cache"] += need.width
        found["cache_in_windows"] += 0 if need.window is need.chunk is None else need.width
    return {name: total for name, total in found.items() if total}
