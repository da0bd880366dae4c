"""Keywords for the checkpoint's processor: whose word counts for which kind of input, and which are taken."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import chain
from typing import Literal, TypeAlias, get_args, is_typeddict

from triptych.arguments import check_arguments
from triptych.errors import OptionError, Problem, TriptychWarning, short, suggest

Scope: TypeAlias = Literal["text", "images", "videos", "audio"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
OTHER_NAMES: Mapping[str, Scope] = {
    **{"image": "images", "video": "videos", "audios": "audio"},
    **{f"{scope}_kwargs": scope for scope in SCOPES},
}


class ProcessorKeywordWarning(TriptychWarning):
    """A processor does not take a keyword that is there for it."""


def merge_processor_kwargs(
    config: Mapping[str, object], request: Mapping[str, object]
) -> dict[Scope, dict[str, object]]:
    """The keywords for each kind of input, from those of the settings and those of a request.

    A keyword counts for every kind, or stands under the name of one: `{"do_resize": True, "images": {"size": 9}}`.
    Of one that is there several times the last counts: in the settings for all, in the settings for the kind, in the
    request for all, in the request for the kind. Raises OptionError with every scope that is no mapping or goes by
    another name.
    """
    check_arguments(config=(config, Mapping), request=(request, Mapping))
    if problems := [*chain(_scope_problems(config, "settings"), _scope_problems(request, "request"))]:
        raise OptionError(problems)
    return {scope: {**_of(config, scope), **_of(request, scope)} for scope in SCOPES}


def accepted_kwargs(
    processor: Callable[..., object], kwargs: Mapping[str, object], *, strict: bool = False
) -> dict[str, object]:
    """The keywords that the processor's call takes. Others are dropped with a warning.

    A call that takes any keyword takes all, unless the processor says which in `valid_kwargs`, as those of transformers
    do. Raises OptionError instead with every other keyword when `strict`.
    """
    check_arguments(processor=(processor, Callable), kwargs=(kwargs, Mapping))
    if (names := _names(processor)) is None:
        return dict(kwargs)
    if problems := [Problem(_not_taken(processor, name, names), name) for name in kwargs if name not in names]:
        if strict:
            raise OptionError(problems)
        warnings.warn("\n".join(map(str, problems)), ProcessorKeywordWarning, stacklevel=2)
    return {name: value for name, value in kwargs.items() if name in names}


def _of(keywords: Mapping[str, object], scope: Scope) -> dict[str, object]:
    flat = {name: value for name, value in keywords.items() if name not in SCOPES}
    scoped = keywords.get(scope, {})
    assert isinstance(scoped, Mapping)
    return {**flat, **scoped}


def _scope_problems(keywords: Mapping[str, object], origin: str) -> Iterator[Problem]:
    for name, value in keywords.items():
        if name in SCOPES and not isinstance(value, Mapping):
            yield Problem(f"a mapping of keywords is wanted, not {short(value)}", f"{origin}.{name}")
        elif name not in SCOPES and (scope := OTHER_NAMES.get(name)) and isinstance(value, Mapping):
            yield Problem(f"keywords of this kind of input stand under {scope!r}", f"{origin}.{name}")


def _names(processor: Callable[..., object]) -> Collection[str] | None:
    """Keywords that a call takes; None for any."""
    parameters = inspect.signature(processor).parameters.values()
    named = {one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
    if not any(one.kind is one.VAR_KEYWORD for one in parameters):
        return named
    stated: object = getattr(processor, "valid_kwargs", None)
    return named | stated.__annotations__.keys() if isinstance(stated, type) and is_typeddict(stated) else None


def _not_taken(processor: Callable[..., object], name: str, names: Collection[str]) -> str:
    called = getattr(processor, "__name__", type(processor).__name__)
    return f"{called} takes no such keyword{suggest(name, names)}"
