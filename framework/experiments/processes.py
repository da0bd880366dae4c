"""Several processes that do one run together, as `torchrun` starts them: the first alone writes."""

from __future__ import annotations

import os


def several() -> bool:
    """Whether this process is one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return not several() or int(os.environ.get("RANK", "0")) == 0


def wait_for_all(*, cpu: bool) -> None:
    """Go on when every process has come this far."""
    if several():
        from accelerate import PartialState

        PartialState(cpu=cpu).wait_for_everyone()
