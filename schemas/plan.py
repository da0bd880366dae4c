"""The annotations of a schema class, compiled once to the fields that its values are checked against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from triptych.errors import Problem, SchemaError, suggest
from triptych.schemas.faults import Fault
from triptych.schemas.fields import Field, LenientField, PlainField, ShapeField, Sizes
from triptych.schemas.shape import TensorShape
from triptych.schemas.values import told

_NUMBERS = {int, float, bool}


@dataclass(frozen=True)
class Plan:
    """What the values of one schema are held to. `symbols` can be given beforehand; some field binds the `bindable`."""

    fields: Mapping[str, Field]
    symbols: frozenset[str]
    bindable: frozenset[str]

    def faults(self, values: Mapping[str, Any], bindings: Mapping[str, int]) -> list[Fault]:
        """All that is wrong with the values, field by field."""
        found = [*self._wrong_bindings(bindings)] if bindings else []
        sizes = Sizes({symbol: size for symbol, size in bindings.items() if _is_size(size)} if bindings else {})
        for name, field in self.fields.items():
            value = values.get(name, field.default)
            if value is not None:
                field.check(value, sizes, found)
            elif not field.optional:
                found.append(Fault(Problem("required, and not given", name)))
        if sizes.pending:
            found += self._unsettled(sizes, found)
        if not values.keys() <= self.fields.keys():
            found += self._unknown(values)
        return found

    def _unsettled(self, sizes: Sizes, faults: list[Fault]) -> Iterator[Fault]:
        """Symbols that no field would bind; where an optional field is left out that would, arithmetic is let be."""
        for field, symbol in sizes.settle(faults):
            if symbol not in self.bindable:
                message = f"no field binds {symbol!r} of {field.shape}; give its size in resolve_bindings"
                yield Fault(Problem(message, field.name))

    def _unknown(self, values: Mapping[str, Any]) -> Iterator[Fault]:
        for name in (name for name in values if name not in self.fields):
            yield Fault(Problem(f"no such field{suggest(name, self.fields)}", name), stricter=True)

    def _wrong_bindings(self, bindings: Mapping[str, Any]) -> Iterator[Fault]:
        for symbol, size in bindings.items():
            path = f"resolve_bindings.{symbol}"
            if not _is_size(size):
                yield Fault(Problem(f"expected a whole number, found {told(size)}", path), wrong_type=True)
            if symbol not in self.symbols:
                yield Fault(Problem(f"no field has this symbol{suggest(symbol, self.symbols)}", path), stricter=True)


def _is_size(size: object) -> bool:
    return isinstance(size, int) and not isinstance(size, bool)


def compile_plan(cls: type, *, reserved: frozenset[str], lenient: bool) -> Plan:
    """The plan of a schema class. Raises SchemaError with every annotation that says nothing a value can be held to."""
    problems = list[Problem]()
    fields = dict[str, Field]()
    for name, annotation in _annotations(cls).items():
        try:
            if name in reserved:
                raise SchemaError("schemas have a member of this name; call the field otherwise")
            fields[name] = _field(name, annotation, getattr(cls, name, None), lenient=lenient)
        except SchemaError as error:
            problems.append(Problem(str(error), f"{cls.__qualname__}.{name}"))
    if problems:
        raise SchemaError(problems)
    shapes = [field.shape for field in map(innermost, fields.values()) if isinstance(field, ShapeField)]
    bindable = {symbol for shape in shapes for symbol in shape.symbols if symbol not in shape.dynamic_dims}
    symbols = {symbol for shape in shapes for symbol in (*shape.symbols, *shape.operands)}
    return Plan(fields, frozenset(symbols), frozenset(bindable))


def innermost(field: Field) -> Field:
    """A field as declared, whether or not a lenient schema enforces it."""
    return field.field if isinstance(field, LenientField) else field


def _annotations(cls: type) -> dict[str, Any]:
    """Annotations by name, those of base classes first."""
    try:
        found = get_type_hints(cls, include_extras=True)
    except NameError as error:
        message = f"an annotation names {error.name!r}, which is not there at run time; import it in {cls.__module__}"
        raise SchemaError(message, path=cls.__qualname__) from error
    return {name: annotation for name, annotation in found.items() if get_origin(annotation) is not ClassVar}


def _field(name: str, annotation: Any, default: Any, *, lenient: bool) -> Field:
    members = list(_members(annotation, None))
    kinds = [kind for kind, _ in members if kind is not NoneType]
    optional = len(kinds) < len(members)
    shapes = {shape for kind, shape in members if kind is not NoneType}
    if len(shapes) > 1:
        raise SchemaError(
            "a field has one TensorShape, and beside it at most None; write a tagged union of two schemas"
        )
    if shape := shapes.pop() if shapes else None:
        outside = (NoneType, None) in members
        found: Field = ShapeField(name, _typed(shape, kinds), optional, default)
        return LenientField(found) if lenient and outside else found
    plain = _plain(name, kinds, optional, default)
    return LenientField(plain) if lenient else plain


def _members(annotation: Any, shape: TensorShape | None) -> Iterator[tuple[Any, TensorShape | None]]:
    """The types that a union lets be, each with the shape that it stands under."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *extras = get_args(annotation)
        found = [extra for extra in extras if isinstance(extra, TensorShape)]
        if len(found) > 1 or (found and shape):
            raise SchemaError("a field has one TensorShape, not several")
        yield from _members(inner, found[0] if found else shape)
    elif origin is Union or origin is UnionType:
        for member in get_args(annotation):
            yield from _members(member, shape)
    else:
        yield NoneType if annotation is None else annotation, shape


def _typed(shape: TensorShape, kinds: list[Any]) -> TensorShape:
    """The shape of a field annotated as a Python number, whose dtype follows from that."""
    if shape.dtype or not kinds or not _NUMBERS.issuperset(kinds):
        return shape
    dtype = [kind.__name__ for kind in kinds]
    return TensorShape(*shape.dims, dynamic_dims=shape.dynamic_dims, dtype=dtype, min=shape.min, max=shape.max)


def _plain(name: str, kinds: list[Any], optional: bool, default: Any) -> PlainField:
    literals = [value for kind in kinds if get_origin(kind) is Literal for value in get_args(kind)]
    classes = [kind for kind in kinds if get_origin(kind) is not Literal]
    if not all(map(_is_checkable, classes)):
        return PlainField(name, optional=optional, default=default)
    optional = optional or None in literals
    literals = [value for value in literals if value is not None]
    return PlainField(name, tuple(literals), tuple(classes), optional, default)


def _is_checkable(kind: Any) -> bool:
    """Whether `isinstance` can tell: not so for Any, a generic alias, a protocol, a typed dict."""
    try:
        isinstance(None, kind)
    except TypeError:
        return False
    return True
