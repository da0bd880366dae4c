"""Names of an adapter's tensors -> modules of the model beside which it is loaded, and everything that is left over."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

from torch import nn

from triptych.arguments import check_arguments
from triptych.errors import AdapterError, Problem, suggest
from triptych.settings import Settings
from triptych.weights.adapters import AdapterWarning, Allowed
from triptych.weights.mapper import Mapper
from triptych.weights.stages import walk

MAX_NAMED = 20
_BEFORE = "base_model.model."
_FACTOR = re.compile(r"[.](lora_[AB]|lora_embedding_[AB]|lora_magnitude_vector)([.].+)?$")


@dataclass(frozen=True)
class AdapterMatch:
    """What became of each tensor of an adapter, by its name in the file.

    `matched` says which module it is for, `ignored` why it is passed over, `unmatched` what is wrong with it.
    """

    matched: Mapping[str, str]
    ignored: Mapping[str, str]
    unmatched: Mapping[str, str]

    def __str__(self) -> str:
        """One line of counts."""
        left = len(self.ignored) + len(self.unmatched)
        total = len(self.matched) + left
        return f"{len(self.matched)} of {total} tensors matched, {len(self.ignored)} ignored" + (
            f", {len(self.unmatched)} for nothing in the model" if self.unmatched else ""
        )


def match_adapters(
    names: Iterable[str], model: nn.Module, *, settings: Settings, mapper: Mapper | None = None
) -> AdapterMatch:
    """Which module each tensor of an adapter is for, by names such as `base_model.model.x.q_proj.lora_A.weight`.

    `mapper` renames modules as it renames the weights of a checkpoint. Raises AdapterError when no tensor is for
    anything and, where the settings are `strict`, when any is left over; warns of those otherwise.
    """
    check_arguments(names=(names, Iterable), model=(model, nn.Module), settings=(settings, Settings))
    matcher = _Matcher(model, Allowed(model, settings), mapper)
    for name in names:
        matcher.add(name)
    found = AdapterMatch(matcher.matched, matcher.ignored, matcher.unmatched)
    problems = [Problem(why, name) for name, why in chain(found.unmatched.items(), found.ignored.items())]
    if not found.matched or (settings.adapters.strict and problems):
        what = str(found) if problems else "an adapter without tensors"
        more = [Problem(f"... and {len(problems) - MAX_NAMED} more")] if len(problems) > MAX_NAMED else []
        raise AdapterError([Problem(what), *problems[:MAX_NAMED], *more])
    for why, count in _counted([*found.ignored.values(), *(["nothing in the model"] * len(found.unmatched))]):
        warnings.warn(f"{count} tensors of an adapter are left out: {why}", AdapterWarning, stacklevel=2)
    return found


@dataclass
class _Matcher:
    """Goes through an adapter's names one by one."""

    model: nn.Module
    allowed: Allowed
    mapper: Mapper | None
    matched: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    unmatched: dict[str, str] = field(default_factory=dict)

    def add(self, name: str) -> None:
        if (factor := _FACTOR.search(name)) is None:
            self.unmatched[name] = "is no tensor of a low-rank adapter; its name has no lora_A or lora_B"
            return
        path = name[: factor.start()].removeprefix(_BEFORE)
        if path.startswith(tuple(getattr(self.model, "lora_skip_prefixes", ()))):
            self.ignored[name] = "lora_skip_prefixes of the model"
        elif (module := self._mapped(path)) is None:
            self.ignored[name] = "the names of the checkpoint drop it, or the component is left out"
        else:
            self._place(name, module)

    def _mapped(self, path: str) -> str | None:
        """The module's path in the model; None when the mapper drops its weight."""
        if self.mapper is None:
            return path
        new = self.mapper.map_name(f"{path}.weight")
        return None if new is None else new.removesuffix(".weight")

    def _place(self, name: str, path: str) -> None:
        found = next((other for other in (path, *self._packed(path)) if other in self._paths), None)
        prefix = self.allowed.map.locate(path)
        if found is None:
            self.unmatched[name] = f"no module {path!r} is in the model{self._near(path)}"
        elif prefix is None:
            self.ignored[name] = "in no component that may have adapters"
        elif why := self.allowed.why_not_at(prefix):
            self.ignored[name] = why
        else:
            self.matched[name] = found

    def _packed(self, path: str) -> Iterator[str]:
        """The path of the fused matrix that this one is part of."""
        packed: Mapping[str, list[str]] = getattr(self.model, "packed_modules_mapping", {})
        owner, dot, last = path.rpartition(".")
        yield from (f"{owner}{dot}{fused}" for fused, parts in packed.items() if last in parts)

    @cached_property
    def _paths(self) -> set[str]:
        """Every module, what is left out among them."""
        return {path for path, _ in walk(self.model)}

    def _near(self, path: str) -> str:
        """Looked for in the first few only: it is slow."""
        last = path.rpartition(".")[2]
        alike = [other for other in self._paths if other.rpartition(".")[2] == last]
        return suggest(path, alike) if len(self.unmatched) < MAX_NAMED and alike else ""


def _counted(reasons: Iterable[str]) -> Iterator[tuple[str, int]]:
    listed = list(reasons)
    yield from ((why, listed.count(why)) for why in dict.fromkeys(listed))
