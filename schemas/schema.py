"""`TensorSchema`: inputs of a model as a class whose annotations say what fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from triptych.arguments import check_arguments
from triptych.errors import MissingFieldError, Problem, SchemaError, SchemaTypeError, suggest
from triptych.schemas.dims import written
from triptych.schemas.faults import Fault
from triptych.schemas.plan import Plan, compile_plan
from triptych.schemas.values import class_name, is_tensor, told


class TensorSchema:
    """Values by name, held to the annotations of the class.

        class Pixels(TensorSchema):
            type: Literal["pixel_values"] = "pixel_values"
            pixel_values: Annotated[torch.Tensor, TensorShape("n", 3, "h", "w", dtype="float")]

        Pixels(pixel_values=images, resolve_bindings={"h": 336, "w": 336})["pixel_values"]

    A field is a shape (numbers, tensors and nested lists of these fit), a Literal, or a class; `| None` makes it
    optional, a value in the class is its default. What a generic alias, a protocol or Any asks is not looked at. With
    `class Pixels(TensorSchema, lenient=True)` literals, dtypes, numbers and classes, unknown names, and the shape of
    `Annotated[...] | None` are not enforced; `ignored` then lists what was let pass.

    Construction raises SchemaError, also a TypeError when a value is of a class that nothing takes, with all faults.
    `validate=False` checks nothing. `resolve_bindings` are symbols whose sizes are known, dynamic ones among them.
    """

    __slots__ = ("__dict__", "__weakref__", "_bindings", "_ignored")

    _plan: ClassVar[Plan | None] = None
    _lenient: ClassVar[bool] = False

    def __init_subclass__(cls, *, lenient: bool | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._plan = None
        cls._lenient = cls._lenient if lenient is None else lenient

    def __init__(
        self, *, validate: bool = True, resolve_bindings: Mapping[str, int] | None = None, **values: Any
    ) -> None:
        check_arguments(SchemaTypeError, resolve_bindings=(resolve_bindings, Mapping | None))
        self.__dict__ = values
        self._bindings: Mapping[str, int] = resolve_bindings or {}
        self._ignored: tuple[Problem, ...] = ()
        if validate:
            self.validate()

    def validate(self) -> None:
        """Check every field, in order. Raises as construction does."""
        cls = type(self)
        found = (cls._plan or plan_of(cls)).faults(self.__dict__, self._bindings)
        self._ignored = ()
        if found:
            passed = [fault for fault in found if fault.stricter and cls._lenient]
            self._ignored = tuple(fault.problem for fault in passed)
            refuse([fault for fault in found if fault not in passed])

    @property
    def ignored(self) -> tuple[Problem, ...]:
        """What the last validation found wrong and a lenient schema lets pass."""
        return self._ignored

    def __getitem__(self, name: str) -> Any:
        """The value of a field, or its default. Raises MissingFieldError, an AttributeError, when there is neither."""
        if name in self.__dict__:
            return self.__dict__[name]
        fields = plan_of(type(self)).fields
        if name in fields and (default := fields[name].default) is not None:
            return default
        message = "not given" if name in fields else f"no such field{suggest(name, [*fields, *self.__dict__])}"
        raise MissingFieldError(message, path=name)

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a field, or `default`; never fails."""
        try:
            return self[name]
        except SchemaError:  # also where the annotations of the class cannot be compiled
            return default

    def print_shapes(self) -> None:
        """Print each value's shape, and of what else there is its class."""
        for name, value in self.__dict__.items():
            print(f"{name}: {_shape_text(value)}")

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={_shape_text(value)}" for name, value in self.__dict__.items())
        return f"{type(self).__qualname__}({values})"


def plan_of(cls: type[TensorSchema]) -> Plan:
    """What the values of a schema are held to, compiled at first use. Raises SchemaError for what cannot be checked."""
    if cls._plan is None:
        cls._plan = compile_plan(cls, reserved=RESERVED, lenient=cls._lenient)
    return cls._plan


def refuse(faults: list[Fault]) -> None:
    """Raise what is wrong, all of it; nothing happens where there is nothing."""
    if faults:
        kind = SchemaTypeError if any(fault.wrong_type for fault in faults) else SchemaError
        raise kind(fault.problem for fault in faults)


def _shape_text(value: object) -> str:
    if is_tensor(value):
        return written(value.shape)
    if isinstance(value, (list, tuple)):
        items = list(dict.fromkeys(map(_shape_text, value)))
        return f"{class_name(value)} of {len(value)}: {', '.join(items[:4])}{', ...' if len(items) > 4 else ''}"
    return told(value)


RESERVED = frozenset(name for name in vars(TensorSchema) if not name.startswith("__")) | {"resolve_bindings"}
