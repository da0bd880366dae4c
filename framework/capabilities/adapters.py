"""Low-rank adapters."""

from __future__ import annotations

from typing import ClassVar, Literal, Protocol, runtime_checkable

from triptych.capabilities.predicates import Proven


@runtime_checkable
class SupportsLoRA(Protocol):
    """A model to whose matrices adapters can be added. What a class does not write is empty."""

    supports_lora: ClassVar[Literal[True]] = True
    is_3d_moe_weight: ClassVar[bool] = False
    """Adapters of experts are stacked in one tensor [E, ., .]."""
    is_non_gated_moe: ClassVar[bool] = False
    """Experts have no gate matrix."""
    embedding_modules: ClassVar[dict[str, str]] = {}
    """Name of an embedding or head -> its name in adapters."""
    packed_modules_mapping: dict[str, list[str]] = {}  # noqa: RUF012 (an instance may hold its own)
    """Name of a fused matrix -> the names of the matrices that it is made of, in order."""
    lora_skip_prefixes: ClassVar[list[str]] = []
    """Names in adapters that begin so are left out."""

    lora_manager: object | None = None
    """What holds the adapters of an instance, once they are enabled."""


supports_lora = Proven[SupportsLoRA]("supports_lora")
