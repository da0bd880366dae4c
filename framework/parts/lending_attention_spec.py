"""What YAML may say of attention whose keys and values later layers borrow."""

from __future__ import annotations

from typing import ClassVar

from triptych.parts.attention_spec import AttentionSpec, KeepingReach, ReachSpec


class LendingAttentionSpec(AttentionSpec):
    """Attention; its keys and values are there for later layers (borrowed_attention), under the name it `leaves`.

    Of several layers that leave theirs under one name, the last one's are there.
    """

    builds: ClassVar[str | type] = "triptych.parts.lending_attention:LendingAttention"
    leaves: str
    reach: KeepingReach = ReachSpec()
