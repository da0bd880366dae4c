"""Schemas that the literal of one field tells apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from triptych.errors import Problem, SchemaError, suggest
from triptych.schemas.fields import PlainField
from triptych.schemas.plan import innermost
from triptych.schemas.schema import TensorSchema, plan_of
from triptych.schemas.values import nearest, told

Branch = TypeVar("Branch", bound=TensorSchema)


@dataclass(frozen=True)
class TaggedUnion(Generic[Branch]):
    """Several schemas; called with values, it makes the one whose field `tag` may hold what is given for it."""

    tag: str
    branches: tuple[type[Branch], ...]

    def __call__(
        self, *, validate: bool = True, resolve_bindings: Mapping[str, int] | None = None, **values: Any
    ) -> Branch:
        """The values as the schema that their tag selects, given the sizes of those symbols that it has.

        Raises SchemaError as that schema does, and with the first fault of each schema when the tag selects none.
        """
        given, bindings = values.get(self.tag), resolve_bindings or {}
        for branch in self.branches:
            if any(type(word) is type(given) and word == given for word in literals(branch, self.tag)):
                return branch(validate=validate, resolve_bindings=self._for(branch, bindings), **values)
        raise SchemaError(self._unselected(values, bindings))

    def _for(self, branch: type[Branch], bindings: Mapping[str, int]) -> dict[str, int]:
        """The bindings less those of symbols that other branches alone have."""
        others = frozenset[str]().union(*(plan_of(other).symbols for other in self.branches))
        return {s: size for s, size in bindings.items() if s in plan_of(branch).symbols or s not in others}

    def _unselected(self, values: Mapping[str, Any], bindings: Mapping[str, int]) -> Iterator[Problem]:
        given = values.get(self.tag)
        words = [word for branch in self.branches for word in literals(branch, self.tag)]
        found = "nothing, which" if given is None else told(given)
        yield Problem(f"found {found} selects no schema{nearest(given, map(str, words))}", self.tag)
        for branch in self.branches:
            faults = plan_of(branch).faults({**values, self.tag: given}, self._for(branch, bindings))
            yield Problem(faults[0].problem.message, f"{branch.__qualname__}.{faults[0].problem.path}")


def tagged_union(tag: str, *branches: type[Branch]) -> TaggedUnion[Branch]:
    """The union of schemas each of which has a Literal field `tag`, of words that no other has.

    Raises SchemaError with all that keeps the schemas from being told apart.
    """
    if problems := list(_wrong_branches(tag, branches)):
        raise SchemaError(problems)
    return TaggedUnion(tag, branches)


def literals(branch: type[TensorSchema], tag: str) -> tuple[Any, ...]:
    """The words that a Literal field may hold; none where the field is no such, or may be left out."""
    field = plan_of(branch).fields.get(tag)
    declared = innermost(field) if field and not field.optional else None
    return declared.literals if isinstance(declared, PlainField) and not declared.classes else ()


def _wrong_branches(tag: str, branches: tuple[type[TensorSchema], ...]) -> Iterator[Problem]:
    if not branches:
        yield Problem("a union is of at least one schema", tag)
    taken: dict[tuple[type, Any], type] = {}
    for branch in branches:
        path, fields = f"{branch.__qualname__}.{tag}", plan_of(branch).fields
        if tag not in fields:
            yield Problem(f"no such field{suggest(tag, fields)}", path)
        elif not (words := literals(branch, tag)):
            yield Problem("schemas are told apart by a Literal that is not optional", path)
        else:
            for word in words:
                other = taken.setdefault((type(word), word), branch)
                if other is not branch:
                    yield Problem(f"{word!r} selects {other.__qualname__} already", path)
