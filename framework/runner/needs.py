"""What the runner asks of a model beside its forward, found for one that is written by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from triptych.errors import CapabilityError, Problem, SpecError, short
from triptych.parts.cache_needs import CacheNeed
from triptych.spec.config import Config, Names
from triptych.spec.expressions import Missing
from triptych.weights import StageMissingLayer


def complete(module: nn.Module, config: Mapping[str, Any]) -> None:
    """Set what the module lacks of `vocab_size`, `context` and `cache_needs`, which is what its author may leave out.

    The first two are the language model's inside it, else what the config says; without a length anywhere, prompts may
    be of any (`context` is None). `cache_needs` are those of its mixers: every module with a `cache_need` that is not
    None, by its `key`. Raises CapabilityError with every piece that cannot be found, when nothing is set.
    """
    problems: list[Problem] = []
    found = {"context": _of(module, config, "context"), "vocab_size": _of(module, config, "vocab_size")}
    if found["vocab_size"] is None:
        problems.append(
            _lack(module, "vocab_size", "neither it nor the config has one; set it where the model is built")
        )
    if (stated := getattr(module, "context", None)) is not None and _number(stated) is None:
        problems.append(_lack(module, "context", f"a number of tokens, or None, is wanted, not {short(stated)}"))
    inner = getattr(module, "get_language_model", lambda: module)()
    if hasattr(module, "compute_logits") and not isinstance(inner, StageMissingLayer):
        problems += _stated_problems(module) if hasattr(module, "cache_needs") else _cache_problems(module)
    if problems:
        raise CapabilityError(problems)
    for name, value in found.items():
        if not hasattr(module, name):
            setattr(module, name, value)
    if not hasattr(module, "cache_needs"):
        needs = {mixer.key: mixer.cache_need for _, mixer in _mixers(module)}
        module.cache_needs = lambda: needs  # type: ignore[assignment]  # nn.Module is typed as holding modules


def _of(module: nn.Module, config: Mapping[str, Any], name: str) -> int | None:
    """A number of the module, of its language model, of the config, or of the text model's config; None without one."""
    if hasattr(module, name):
        return _number(getattr(module, name))
    inner = getattr(module, "get_language_model", lambda: None)()
    if inner is not None and inner is not module and hasattr(inner, name):
        return _number(getattr(inner, name))
    text = config.get("text_config")
    return _said(config, name) or (_said(text, name) if isinstance(text, Mapping) else None)


def _said(config: Mapping[str, Any], name: str) -> int | None:
    """What a config says, under any of the names that specs know for it."""
    names = Names({}, None)
    reading = Config(config, {}, names)
    names.given["config"] = reading
    try:
        return _number(reading[name])
    except (Missing, SpecError):
        return None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _mixers(module: nn.Module) -> Iterator[tuple[str, Any]]:
    for path, mixer in module.named_modules():
        if isinstance(getattr(mixer, "cache_need", None), CacheNeed):
            yield path, mixer


def _stated_problems(module: Any) -> Iterator[Problem]:
    """What is wrong with the needs that an author wrote."""
    needs = module.cache_needs() if callable(module.cache_needs) else module.cache_needs
    if not callable(module.cache_needs) or not isinstance(needs, Mapping):
        yield _lack(module, "cache_needs", f"a method that gives needs by key is wanted, not {short(needs)}")
        return
    for path, mixer in _mixers(module):
        if (key := getattr(mixer, "key", None)) not in needs:
            yield _lack(module, "cache_needs", f"it has nothing for {key!r}, under which {path} keeps rows")


def _cache_problems(module: nn.Module) -> Iterator[Problem]:
    keys: dict[object, str] = {}
    for path, mixer in _mixers(module):
        key = getattr(mixer, "key", None)
        if key is None:
            yield _lack(module, f"{path}.key", "it keeps rows and has no key for them; its own path will do")
        elif key in keys:
            message = f"keeps its rows under {key!r}, as {keys[key]} does; give each a key of its own"
            yield _lack(module, f"{path}.key", message)
        keys.setdefault(key, path)
    if not keys:
        yield _lack(
            module,
            "cache_needs",
            "no layer says what it keeps of a sequence (`cache_need`, with a `key`), so that a token could see none "
            "before it; say it there, or write cache_needs(), which returns {} where nothing is kept",
        )


def _lack(module: nn.Module, path: str, message: str) -> Problem:
    return Problem(message, f"{type(module).__name__}.{path}")
