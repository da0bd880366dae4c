"""What may be registered as a part: what is wrong with a kind, a name, or the thing itself, told before it is used."""

from __future__ import annotations

from triptych.errors import RegistrationError, RegistrationTypeError, UnknownNameError, short, suggest

KINDS = (
    *("norm", "position", "mixer", "router", "embed", "table", "projector", "head", "pooler"),
    *("cut", "positions", "size", "sampling", "prompt", "transform", "activation"),
)
FUNCTIONS = "activation"  # the kind whose parts are plain functions, unless they have parameters


def check_kind(kind: object) -> None:
    """Raise UnknownNameError, with the kinds, for what is none of them."""
    if kind not in KINDS:
        raise UnknownNameError(f"unknown kind of part {short(kind)}{suggest(kind, KINDS)}", path="kind")


def check_name(kind: str, name: object) -> None:
    """Raise RegistrationTypeError for what is no text, RegistrationError for none."""
    if not isinstance(name, str):
        raise RegistrationTypeError(f"the name of a part ({kind}) is a str, not {short(name)}", path="name")
    if not name:
        raise RegistrationError(f"the name of a part ({kind}) is empty", path="name")


def target_fault(kind: str, target: object) -> str:
    """Why a thing is no part of that kind; '' where nothing says so. No torch is needed to tell."""
    spec = spec_of(target)
    if kind == FUNCTIONS and not is_spec(spec):
        plain = callable(target) and not isinstance(target, type)
        return "" if plain else f"a function is wanted, not {short(target)}"
    if not is_spec(spec):
        return f"a PartSpec class is wanted, or a class with one inside as `Spec`, not {short(target)}"
    return "" if spec is target else _builds_another(target, getattr(spec, "builds", ""))


def spec_of(target: object) -> object:
    """The Spec inside a class, else the thing itself."""
    return getattr(target, "Spec", target)


def is_spec(found: object) -> bool:
    """Whether a thing is a class that YAML's words can be typed by, and that says what it builds.

    By what it has: `PartSpec` itself stands in a layer above, and pydantic is imported by nothing here.
    """
    return isinstance(found, type) and hasattr(found, "model_fields") and hasattr(found, "builds")


def _builds_another(target: object, builds: object) -> str:
    """Why the Spec inside a class does not lead back to that class: another would be built in its place."""
    name = getattr(target, "__qualname__", repr(target))
    if builds is target or (isinstance(builds, str) and builds.partition(":")[2] == name):
        return ""
    here = f"{getattr(target, '__module__', '?')}:{name}"
    what = "nothing" if builds == "" else short(builds)
    return f"the Spec inside it builds {what}; in it, builds = {here!r} names this class"
