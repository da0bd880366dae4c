"""The message when no listed architecture can be served: why, name by name, and what there is instead."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from triptych.errors import Problem, RegistrationError, TriptychError, UnknownNameError
from triptych.registry.allow_list import PLUGINS, VARIABLE, left_out
from triptych.registry.plugins import plugin_failures

GROUPS = ("triptych.models", "triptych.specs", "triptych.parts", PLUGINS)
NATIVE = "triptych"  # the backend of specs and model classes
MAX_SHOWN = 20


class Failure(NamedTuple):
    """A name, the backend that was to serve it, and why it does not."""

    architecture: str
    backend: str
    error: TriptychError


def unresolved(
    names: Sequence[str],
    failures: Sequence[Failure],
    *,
    known: Sequence[str],
    troubles: Sequence[str],
    removed: Mapping[str, str],
    external: Mapping[str, str],
) -> RegistrationError:
    """The error about `names`, of which some may be known and have failed; UnknownNameError when none is.

    `known` is what is served by name, `troubles` say why some specs are not among it, `removed` which version was the
    last to have one, `external` where one is.
    """
    causes = {name: [f.error for f in failures if (f.architecture, f.backend) == (name, NATIVE)] for name in names}
    problems, unknown = list[str](), list[str]()
    for name, found in causes.items():
        if found:
            problems.append(f"architecture {name!r} cannot be used: {found[0]}")
        elif name in removed:
            problems.append(f"architecture {name!r} was removed; version {removed[name]} was the last to have it")
        elif name in external:
            problems.append(f"architecture {name!r} is served by another package: {external[name]}")
        else:
            unknown.append(name)
            problems.append(f"unknown architecture {name!r}")
    if unknown:
        problems += [*_refusals(failures), _supported(unknown, known), *troubles, *_why_perhaps()]
    kind = UnknownNameError if len(unknown) == len(causes) else RegistrationError
    return kind(map(Problem, problems))


def _refusals(failures: Sequence[Failure]) -> list[str]:
    generic = [failure for failure in failures if failure.backend != NATIVE]
    return [f"backend {f.backend!r} cannot serve {f.architecture!r}: {f.error}" for f in generic]


def _supported(unknown: Sequence[str], known: Sequence[str]) -> str:
    """What there is, the nearest to an unknown name first."""
    nearest = sorted(known, key=lambda name: (-max(SequenceMatcher(None, name, u).ratio() for u in unknown), name))
    more = f" and {len(nearest) - MAX_SHOWN} more" if len(nearest) > MAX_SHOWN else ""
    return f"supported, the nearest first: {', '.join(nearest[:MAX_SHOWN])}{more}" if nearest else "none is supported"


def _why_perhaps() -> Iterator[str]:
    """What may have kept a name from being known."""
    yield from plugin_failures()
    if out := sorted({entry.distribution for group in GROUPS for entry in left_out(group)}):
        yield f"{VARIABLE} keeps out {', '.join(out)}"
    if _is_child():
        yield (
            "this is a child process, which a registration in its parent does not reach: offer the model by an entry "
            "point of the group triptych.models, or register it in a plugin of the group triptych.plugins"
        )


def _is_child() -> bool:
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None
