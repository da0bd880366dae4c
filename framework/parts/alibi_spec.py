"""What YAML may say of positions that attention is told by its scores."""

from __future__ import annotations

from typing import ClassVar

from triptych.spec.base import OnScores, PositionSpec


class AlibiSpec(PositionSpec):
    """Scores fall with the distance of the row that is looked at, for each head at a slope of its own.

    Or with the `root` of the distance; `scaled` is the linear one as Falcon rounds it, which counts from the start of
    the sequence. Press et al. 2021, arXiv 2108.12409.
    """

    turns: ClassVar[bool] = False
    form: OnScores = "linear"

    @property
    def on_scores(self) -> OnScores:
        return self.form
