"""FSDP where there is no GPU: Accelerate takes it for those alone, and torch cuts parameters anywhere."""

from __future__ import annotations

import os
from typing import Any

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin


def use_fsdp() -> None:
    """What Accelerate's state comes to where `accelerate launch --use_fsdp` starts processes that have GPUs."""
    begin = AcceleratorState.__init__

    def begins(self: AcceleratorState, mixed_precision: str | None = None, *args: Any, **options: Any) -> None:
        is_first = not AcceleratorState._shared_state
        begin(self, mixed_precision, *args, **options)
        if is_first:
            self.distributed_type = DistributedType.FSDP
            PartialState._shared_state["distributed_type"] = DistributedType.FSDP
            self.fsdp_plugin = FullyShardedDataParallelPlugin()
            if self._mixed_precision != "no":
                self.fsdp_plugin.set_mixed_precision(self._mixed_precision)

    os.environ["ACCELERATE_USE_FSDP"] = "true"
    AcceleratorState.__init__ = begins
