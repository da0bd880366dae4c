"""A spec that stands in no file: a mapping of plain values, within the same bounds as a file."""

from __future__ import annotations

from collections.abc import Mapping

from triptych.errors import Place, Problem, SpecError, short
from triptych.spec.document import MAX_INT, MAX_NESTING, Items, Tree


def tree_of(mapping: Mapping[str, object], *, origin: str) -> Tree:
    """The mapping as a tree, every value of which stands at `origin`. The mapping is left as it is.

    Raises SpecError with everything in it that YAML could not say: other keys than texts, other values than texts,
    numbers, true, false and null, nesting past the bound.
    """
    reading = _Reading(Place(origin, 0, 0))
    found = reading.tree(mapping, ())
    if reading.problems:
        raise SpecError(reading.problems)
    return found


class _Reading:
    """One mapping, every problem kept."""

    def __init__(self, place: Place) -> None:
        self.place, self.problems = place, list[Problem]()

    def tree(self, mapping: Mapping[str, object], path: tuple[str, ...]) -> Tree:
        found = Tree()
        for key, value in mapping.items():
            if not isinstance(key, str):
                self._refuse(f"a key is a text, not {short(key)}", path)
                continue
            found[key] = self._value(value, (*path, key))
            found.keys_at[key] = found.values_at[key] = self.place
        return found

    def _value(self, value: object, path: tuple[str, ...]) -> object:
        if len(path) > MAX_NESTING:
            self._refuse(f"nested more than {MAX_NESTING} deep", path[:1])
            return None
        if isinstance(value, Mapping):
            return self.tree(value, path)
        if isinstance(value, list | tuple):
            items = [self._value(item, (*path, str(number))) for number, item in enumerate(value)]
            return Items(items, [self.place] * len(items))
        if value is not None and not isinstance(value, str | int | float):
            self._refuse(f"a spec holds plain values only, not {short(value)}", path)
        if isinstance(value, int) and abs(value) >= MAX_INT:
            self._refuse("an integer of 2**53 or more", path)
        return value

    def _refuse(self, message: str, path: tuple[str, ...]) -> None:
        problem = Problem(message, ".".join(path), self.place)
        if problem not in self.problems:
            self.problems.append(problem)
