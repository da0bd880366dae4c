"""Model classes as small as they can be, here and as source text for packages of a test's own."""

from __future__ import annotations

from typing import Any

SOURCE = """
class Tiny:
    def __init__(self, *, settings, prefix=""):
        pass

    def embed_input_ids(self, input_ids):
        return input_ids

    def forward(self, input_ids, positions, *, step):
        return input_ids
"""
WITH_LOGITS = """
    def compute_logits(self, hidden_states):
        return hidden_states
"""


class Tiny:
    """A model that gives back what it is given."""

    def __init__(self, *, settings: Any, prefix: str = "") -> None:
        self.settings, self.prefix = settings, prefix

    def embed_input_ids(self, input_ids: Any) -> Any:
        return input_ids

    def forward(self, input_ids: Any, positions: Any, *, step: Any) -> Any:  # noqa: ARG002
        return input_ids


class Generator(Tiny):
    """And one that ends in logits."""

    def compute_logits(self, hidden_states: Any) -> Any:
        return hidden_states


class Pooled(Tiny):
    """And one that pools."""

    is_pooling_model = True
    pooler: Any


class Broken:
    """No model: its forward takes something else, and it embeds nothing."""

    def __init__(self, *, settings: Any) -> None:
        self.settings = settings

    def forward(self, pixels: Any) -> Any:
        return pixels
