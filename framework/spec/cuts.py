"""How the rows of a tower are cut beside items: into frames, and as the spec says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from triptych.errors import Place, suggest
from triptych.spec.base import PartSpec
from triptych.spec.document import Tree
from triptych.spec.scope import Scope

FRAME = "frame"
"""The cut that every tower has: one image, or one moment of a video."""


def plan_cuts(scope: Scope, tree: Tree) -> dict[str, PartSpec]:
    """The cuts of a tower. One puts its rows in another order, which that of a second would undo."""
    given = {name: cut for name, cut in tree.items() if cut is not None}
    if len(given) > 1:
        scope.fail(f"rows stand in the order of one cut, not of {', '.join(given)}", min(tree.values_at.values()))
    if FRAME in given:
        scope.fail(f"every tower is cut into frames; {FRAME!r} is no name for another cut", tree.keys_at.get(FRAME))
    return {name: scope.at(name).part("cut", cut, tree.values_at.get(name))[1].build() for name, cut in given.items()}


def check_within(scope: Scope, mixers: Iterable[PartSpec], known: Sequence[str], place: Place | None) -> None:
    """Raise SpecError for a mixer that stays within a cut which this stack has not."""
    for mixer in mixers:
        name = getattr(getattr(mixer, "reach", None), "within", None)
        if isinstance(name, str) and name not in known:
            has = suggest(name, known) if known else "; a language model is cut into sequences alone"
            scope.fail(f"attention is within {name!r}, which is no cut of these rows{has}", place)
