"""What a user can get wrong: one small family of errors, each a list of problems with their places."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands: line and column of a text file, from 1; line 0 for a whole file and for an override."""

    file: str
    line: int
    col: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.col}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where it stands, which field it is in (dotted path), what was found and what would do."""

    message: str
    path: str = ""
    place: Place | None = None

    def __str__(self) -> str:
        return ": ".join(str(part) for part in (self.place, self.path, self.message) if part)


class TriptychError(Exception):
    """Base of all errors that triptych raises; `problems` holds every mistake found in one input."""

    def __init__(
        self, problems: str | Problem | Iterable[Problem], *, path: str = "", place: Place | None = None
    ) -> None:
        if isinstance(problems, str):
            problems = Problem(problems, path, place)
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))

    @property
    def path(self) -> str:
        """The field that the first problem is in; empty when it is in none."""
        return self.problems[0].path if self.problems else ""


class ArgumentError(TriptychError, TypeError):
    """An argument of a function is of a Python type that is not taken there."""


class SpecError(TriptychError, ValueError):
    """A spec, or the config that it reads, does not say what is needed."""


class RegistrationError(TriptychError, ValueError):
    """A name is registered twice, or as what it is not."""


class RegistrationTypeError(RegistrationError, TypeError):
    """What is registered, or its name, is of a Python type that is not taken there."""


class UnknownNameError(RegistrationError):
    """Nothing is registered under that name."""


class PluginError(TriptychError, RuntimeError):
    """Something registered by name cannot be imported, or is not what its entry says."""


class CapabilityError(TriptychError, ValueError):
    """A model is asked for what it cannot do, or its class declares what it does not hold."""


class MissingMemberError(CapabilityError, NotImplementedError):
    """A member that an interface declares is called, or looked for, and no class has written it."""


class StageError(TriptychError, RuntimeError):
    """A pipeline stage lacks what an earlier one should have handed to it, or a component that it left out."""


class SchemaError(TriptychError, ValueError):
    """A schema of typed inputs is not well formed, or values do not fit the one they are given to."""


class SchemaTypeError(SchemaError, TypeError):
    """A value, or a dim, is of a Python type that is not taken there."""


class MissingFieldError(SchemaError, AttributeError):
    """An item is asked for that the inputs do not hold."""


class WeightMapError(TriptychError, ValueError):
    """A checkpoint's tensors and the model's parameters do not fit together."""


class CheckpointError(TriptychError, ValueError):
    """A checkpoint folder or one of its files cannot be used."""


class AdapterError(TriptychError, ValueError):
    """An adapter's tensors and the model beside which it is loaded do not fit together."""


class InputError(TriptychError, ValueError):
    """A prompt, an image or another input of a request cannot be used."""


class InputTypeError(InputError, TypeError):
    """An input of a request is of a Python type that is not taken there."""


class ItemError(TriptychError, RuntimeError):
    """Items cannot be read as one batch: some are absent, or they do not go into one call."""


class MissingItemsError(ItemError):
    """Items came without data, as ones that are kept, and are not. `hashes` name all of them; to send them helps."""

    def __init__(
        self,
        problems: str | Problem | Iterable[Problem],
        *,
        path: str = "",
        place: Place | None = None,
        hashes: Iterable[str] = (),
    ) -> None:
        super().__init__(problems, path=path, place=place)
        self.hashes = tuple(hashes)


class PromptUpdateError(TriptychError, RuntimeError):
    """What items change in a prompt does not fit the prompt, or the items."""


class PromptUpdateTypeError(PromptUpdateError, TypeError):
    """A target or content of a prompt update is of a Python type that is not taken there."""


class OptionError(TriptychError, ValueError):
    """An option has a value that cannot be used."""


class KernelError(TriptychError, RuntimeError):
    """An op was given tensors that it does not take."""


class OutOfMemoryError(TriptychError, MemoryError):
    """The machine has less memory left than is needed."""


class TriptychWarning(UserWarning):
    """Base of all warnings that triptych gives, but for those of names and forms of older releases."""


def short(value: object) -> str:
    """`repr` of a found value, cut to what fits in a line."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def suggest(name: object, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` when a known name is near, else `; known: a, b, c` (the first 20). No str is near any."""
    names = sorted(known)
    if isinstance(name, str) and (near := get_close_matches(name, names, 1)):
        return f"; did you mean {near[0]!r}?"
    return f"; known: {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}" if names else ""
