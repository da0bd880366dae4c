"""What fails while requests run, as the error of those whom it concerns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from traceback import format_tb

from triptych.errors import OutOfMemoryError, Problem, TriptychError
from triptych.inputs.items import MultiModalFeatureSpec
from triptych.registry.authors import is_out_of_memory

INTERRUPTS = (KeyboardInterrupt, SystemExit, GeneratorExit)
"""What stops whoever computes a step, and is no failure of what is computed."""


def as_told(error: BaseException, doing: str) -> TriptychError:
    """What a request that ends with it is told; `doing` says what failed.

    It may be kept for long, and the frames of its traceback would keep the tensors of a step: their lines are kept.
    """
    found = error if isinstance(error, TriptychError) else _wrapped(error, doing)
    linked: BaseException | None = found
    while linked is not None:
        if linked.__traceback__ is not None and not isinstance(linked, TriptychError):
            linked.add_note("".join(format_tb(linked.__traceback__)).rstrip())
        linked.__traceback__ = None
        linked = linked.__cause__ or linked.__context__
    return found


def no_room(error: BaseException, *, tokens: int, requests: int) -> OutOfMemoryError:
    """That a step of so many tokens was too much for the memory, and what takes less."""
    size = "1 token" if tokens == 1 else f"{tokens} tokens, of {requests} request{'s' if requests > 1 else ''},"
    less = (
        "a smaller kv_cache_memory leaves more" if tokens == 1 else f"max_num_batched_tokens={tokens // 2} takes less"
    )
    found = OutOfMemoryError(f"a step of {size} finds no memory ({_cause(error)}); {less}")
    found.__cause__ = error
    return found


@contextmanager
def room_for(what: str, *, less: str) -> Iterator[None]:
    """Raise OutOfMemoryError where there is no memory for it; `less` says what takes less."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(f"{what} finds no memory ({_cause(error)}); {less}") from error


def fresh(error: TriptychError) -> TriptychError:
    """The same error to be raised once more: one that is raised keeps the frames through which it goes."""
    return located(error, "")


def located(error: TriptychError, path: str, *, instead_of: str = "") -> TriptychError:
    """The same error, told of this field; the path that a problem has stays behind it, but for `instead_of`."""
    found = Exception.__new__(type(error))  # a class of somebody's may take other arguments
    found.__dict__.update(error.__dict__)
    found.problems = tuple(_moved(problem, path, instead_of) for problem in error.problems)
    found.args = ("\n".join(map(str, found.problems)),)
    found.__cause__ = error.__cause__
    return found


def of_item(
    error: TriptychError, feature: MultiModalFeatureSpec, items: Sequence[MultiModalFeatureSpec]
) -> TriptychError:
    """The error of one of a prompt's items, told by its modality and its number among those."""
    alike = [each for each in items if each.modality == feature.modality]
    number = next(n for n, each in enumerate(alike) if each.identifier == feature.identifier)
    return located(error, f"{feature.modality}[{number}]", instead_of=feature.modality)


def _wrapped(error: BaseException, doing: str) -> TriptychError:
    kind = OutOfMemoryError if is_out_of_memory(error) else TriptychError
    found = kind(f"{doing}: {type(error).__name__}: {error}")
    found.__cause__ = error
    return found


def _cause(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _moved(problem: Problem, path: str, instead_of: str) -> Problem:
    rest = "" if problem.path == instead_of else problem.path
    return replace(problem, path=".".join(part for part in (path, rest) if part))
