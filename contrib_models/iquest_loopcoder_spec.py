"""What YAML may say of attention in a stack that is gone through several times."""

from __future__ import annotations

from typing import ClassVar

from pydantic import PositiveInt

from triptych.parts.attention_spec import AttentionSpec


class LoopedAttentionSpec(AttentionSpec):
    """The first time attention; later on it sees the rows of that time, and those of its own in `again_window`."""

    builds: ClassVar[str | type] = "triptych.contrib_models.iquest_loopcoder:LoopedAttention"
    again_window: PositiveInt
