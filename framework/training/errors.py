"""What goes wrong while a model is trained."""

from __future__ import annotations

from triptych.errors import TriptychError


class TrainingError(TriptychError, RuntimeError):
    """Training came to a point from which it does not go on: a loss that is no number."""
