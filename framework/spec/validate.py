"""What can be said of a spec without any config: names, types of what is constant, expressions, what nothing uses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from triptych.errors import Place, Problem, SpecError, TriptychError, suggest
from triptych.spec.conversion import converted
from triptych.spec.document import Tree, walk
from triptych.spec.draft import Draft
from triptych.spec.expressions import is_expression, parse
from triptych.spec.merge import load_tree
from triptych.spec.rows import lost_rows
from triptych.spec.schemas import draft_schemas
from triptych.spec.scope import REQUIRED
from triptych.spec.structure import structure_problems

ROOTS = frozenset({"config", "layer"})
CHILDREN = frozenset({"towers", "language_model"})
SPEAKS_OF = {  # section -> what its expressions may name
    "items": frozenset({"config", "grid"}),
    "schemas": frozenset({"config"}) | CHILDREN,
    "tokens": frozenset({"config", "rows", "grid"}) | CHILDREN,
    "projectors": ROOTS | CHILDREN,
    "deepstack": ROOTS | CHILDREN,
    "programs": ROOTS | CHILDREN,
    "positions": ROOTS | CHILDREN,
}


def validate(path: Path) -> list[Problem]:
    """Every mistake of the spec in a file, in the order of its lines. Imports no torch."""
    problems: list[Problem] = []
    try:
        tree = load_tree(path, problems=problems)
    except TriptychError as error:
        problems += error.problems
    else:
        whole = not any(p.path == "base" for p in problems)
        problems += mistakes(tree, file=str(path), sound=not problems, whole=whole)
    return _in_order(problems, Place(str(path), 1, 1))


def mistakes(tree: Tree, *, file: str | None = None, sound: bool = True, whole: bool = True) -> Iterator[Problem]:
    """The mistakes of a merged tree. Less can be said of one that is not `sound`, or not `whole` for want of a base.

    What nothing uses is a mistake of the `file` that says it: a base offers what an heir may leave.
    """
    wrong, tree = structure_problems(tree)
    draft = Draft(tree)
    yield from wrong
    yield from bad_expressions(tree)
    yield from _written(draft.check() if whole else (), tree)
    yield from draft_schemas(tree) if whole else ()
    for name in tree.get("conversions") or () if whole else ():
        yield from _written(Draft(converted(tree, name, name=file or "this spec")).check(), tree)
    if sound and whole and not wrong:
        missing = list(draft.missing())
        yield from missing
        for problem in [] if missing else [*draft.unused(), *lost_rows(tree)]:
            if file is None or problem.place is None or problem.place.file == file:
                yield problem


def bad_expressions(tree: Tree) -> Iterator[Problem]:
    """Expressions of the wrong form, and those that name what has no meaning where they stand."""
    for path, value, place in walk(tree):
        if is_expression(value) and path[0] not in ("defaults", "sample"):
            try:
                expression = parse(str(value))
            except SpecError as error:
                yield Problem(str(error), ".".join(path), place)
                continue
            known = _speaks_of(path)
            for root in sorted(expression.roots - known):
                yield Problem(f"{value!r}: {root!r} has no meaning here{suggest(root, known)}", ".".join(path), place)


def _speaks_of(path: tuple[str, ...]) -> frozenset[str]:
    """What an expression at `path` may name. Under `with` a parent may ask a child what that would have said."""
    if path[0] in CHILDREN and "with" in path:
        return ROOTS | {path[0]}
    return SPEAKS_OF.get(path[0], ROOTS)


def _written(problems: Iterable[Problem], tree: Tree) -> Iterator[Problem]:
    """The problems under the path where each was written, which may be another than where it was used."""
    paths: dict[Place, str] = {}
    _note_places(tree, (), paths)
    for problem in problems:
        path = paths.get(problem.place, problem.path) if problem.place else problem.path
        if problem.message == REQUIRED:
            path = f"{path.removesuffix('.use')}.{problem.path.rpartition('.')[2]}"
        elif not problem.path.endswith(".use"):  # what is wrong with a part as a whole stands where it says `use`
            path = path.removesuffix(".use")
        yield replace(problem, path=path)


def _note_places(value: object, path: tuple[str, ...], paths: dict[Place, str]) -> None:
    if isinstance(value, Tree):
        for key, child in value.items():
            below = (*path, key)
            for place in (value.keys_at.get(key), value.values_at.get(key)):
                if place is not None and place.line:
                    paths.setdefault(place, ".".join(below))
            _note_places(child, below, paths)
    for number, item in enumerate(value) if isinstance(value, list) else ():
        _note_places(item, (*path, str(number)), paths)


def _in_order(problems: Iterable[Problem], first: Place) -> list[Problem]:
    """Each problem once, by place, the file itself before its bases; what has no place is at its beginning."""
    placed = [problem if problem.place else replace(problem, place=first) for problem in problems]
    return sorted(dict.fromkeys(placed), key=lambda p: ((p.place or first).file != first.file, p.place or first))
