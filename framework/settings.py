"""What a model is built with beside its spec: the checkpoint's config, and how it is to be used and run. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from triptych.arguments import check_arguments
from triptych.errors import OptionError, Problem, short, suggest

MAX_ITEMS = 999  # of a modality in one prompt, where nothing else is said
DUMMY_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "image": ("width", "height"),
    "video": ("num_frames", "width", "height"),
    "audio": ("length",),
}
"""What may be said of the items that stand in for those of a modality while memory is measured, beside their count."""


@runtime_checkable
class ItemCache(Protocol):
    """What keeps processed items, `triptych.ProcessorCache` or another."""

    @property
    def capacity(self) -> int:
        """The most bytes that are kept."""
        ...


Limit = int | Mapping[str, int]
WORDS: Mapping[type, str] = {bool: "True or False", int: "a whole number", Mapping: "a mapping"}


@dataclass(frozen=True, kw_only=True)
class MultiModalSettings:
    """Which items prompts bring, and which components are built for them.

    `limits` says how many items of a modality one prompt may have: a number, or `{count: 2, width: 640}` with options
    of its dummy items. A tower whose modalities all have the limit 0 is not built. `encoder_only` leaves the language
    model out, `language_only` every tower; `towers_on_first_stage` leaves them out of all stages of a pipeline but the
    first, as those of a spec always are. `embeds` lets prompts bring rows of items that were encoded elsewhere.
    `processor` are keywords for the checkpoint's processor: for every modality, or under the name of one. What it makes
    of items is kept, `processor_cache` bytes of it, or in a `ProcessorCache` that several models may share; 0 keeps
    nothing. `video_pruning` is the share of a video's rows that is left out: those that differ least from the same
    place a moment before.
    """

    limits: Mapping[str, Limit] = field(default_factory=dict)
    encoder_only: bool = False
    language_only: bool = False
    towers_on_first_stage: bool = False
    embeds: bool = False
    processor: Mapping[str, Any] = field(default_factory=dict)
    processor_cache: int | ItemCache = 2**28
    video_pruning: float = 0.0

    def __post_init__(self) -> None:
        """Raise OptionError with everything that is wrong."""
        flags = ("encoder_only", "language_only", "towers_on_first_stage", "embeds")
        kinds = {"limits": Mapping, "processor": Mapping, **dict.fromkeys(flags, bool)}
        problems = _mistyped(self, kinds)
        if not isinstance(self.processor_cache, int | ItemCache):
            told = f"bytes, or a ProcessorCache are wanted, not {short(self.processor_cache)}"
            problems.append(Problem(told, "processor_cache"))
        elif isinstance(self.processor_cache, int) and self.processor_cache < 0:
            problems.append(Problem(f"0 bytes or more are wanted, not {self.processor_cache}", "processor_cache"))
        if isinstance(self.video_pruning, bool) or not isinstance(self.video_pruning, int | float):
            problems.append(Problem(f"a share is wanted, not {short(self.video_pruning)}", "video_pruning"))
        elif not 0 <= self.video_pruning < 1:
            problems.append(Problem(f"a share from 0 to below 1 is wanted, not {self.video_pruning}", "video_pruning"))
        if isinstance(self.limits, Mapping):
            problems += [p for modality, limit in self.limits.items() for p in _limit_problems(modality, limit)]
        if self.encoder_only and self.language_only:
            problems.append(Problem("encoder_only and language_only together leave nothing of the model"))
        if problems:
            raise OptionError(problems)

    def get_limit_per_prompt(self, modality: str) -> int:
        """How many items of a modality one prompt may have."""
        if self.language_only:
            return 0
        limit = self.limits.get(modality, MAX_ITEMS)
        return limit if isinstance(limit, int) else limit.get("count", MAX_ITEMS)

    def get_dummy_options(self, modality: str) -> dict[str, int]:
        """What is said of the dummy items of a modality."""
        limit = self.limits.get(modality, MAX_ITEMS)
        return {} if isinstance(limit, int) else {key: value for key, value in limit.items() if key != "count"}

    def why_no_tower(self, modalities: Iterable[str]) -> str:
        """What leaves out a tower of these modalities, in words; empty when it is built."""
        if self.language_only:
            return "language_only is set"
        names = sorted(modalities)
        if any(self.get_limit_per_prompt(name) for name in names):
            return ""
        return f"{' and '.join(f'limits.{name}' for name in names)} {'is' if len(names) == 1 else 'are'} 0"

    def why_no_language_model(self) -> str:
        """What leaves out the language model, in words; empty when it is built."""
        return "encoder_only is set" if self.encoder_only else ""


def _mistyped(owner: object, wanted: Mapping[str, type]) -> list[Problem]:
    """The fields that hold something else than they are to."""
    given = {name: getattr(owner, name) for name in wanted}
    return [
        Problem(f"{WORDS.get(kind, kind.__name__)} is wanted, not {short(given[name])}", name)
        for name, kind in wanted.items()
        if not isinstance(given[name], kind)
    ]


def _limit_problems(modality: str, limit: Limit) -> Iterator[Problem]:
    at = f"limits.{modality}"
    given: Mapping[str, object] = limit if isinstance(limit, Mapping) else {"count": limit}
    known = ("count", *DUMMY_OPTIONS.get(modality, ()))
    if not isinstance(modality, str):
        yield Problem(f"a modality is a name, not {short(modality)}", "limits")
    for key, value in given.items():
        if key not in known:
            yield Problem(f"no such option of a limit{suggest(str(key), known)}", f"{at}.{key}")
        elif isinstance(value, bool) or not isinstance(value, int) or value < (key != "count"):
            least = "0 or more" if key == "count" else "1 or more"
            yield Problem(f"a whole number, {least}, is wanted, not {short(value)}", f"{at}.{key}")


@dataclass(frozen=True)
class Stage:
    """One of `size` stages of a pipeline, from 0. Raises OptionError when there is no such stage."""

    rank: int = 0
    size: int = 1

    def __post_init__(self) -> None:
        if problems := _mistyped(self, {"rank": int, "size": int}):
            raise OptionError(problems)
        if not 0 <= self.rank < self.size:
            raise OptionError(f"{self}: stages count from 0 to {self.size - 1}")

    def __str__(self) -> str:
        return f"stage {self.rank} of {self.size}"

    @property
    def is_first(self) -> bool:
        """Whether ids and items enter here."""
        return self.rank == 0

    @property
    def is_last(self) -> bool:
        """Whether hidden rows leave the model here."""
        return self.rank == self.size - 1

    def layers(self, count: int) -> range:
        """Which of `count` layers this stage has.

        What is left when they do not divide goes to the stages before the last, which has the head, from the back.
        """
        check_arguments(count=(count, int))
        each, left = divmod(count, self.size)
        counts = [each + (self.size - 1 - left <= rank < self.size - 1) for rank in range(self.size)]
        start = sum(counts[: self.rank])
        return range(start, start + counts[self.rank])


WHOLE = Stage()


@dataclass(frozen=True, kw_only=True)
class AdapterSettings:
    """Which adapters are let in. `tower_connector`: those of towers and projectors too. `strict`: no tensor is left."""

    tower_connector: bool = False
    strict: bool = False


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that the constructor of a model class is given. `config` is the checkpoint's, as its file has it.

    `pooler` is what a spec would say of the pooler (`take`, `normalize`, ...), for a class that is converted to one
    that pools; empty: what is usual.
    """

    config: Mapping[str, Any]
    multimodal: MultiModalSettings = field(default_factory=MultiModalSettings)
    stage: Stage = WHOLE
    adapters: AdapterSettings = field(default_factory=AdapterSettings)
    pooler: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise OptionError with every field that holds something else."""
        kinds = {"multimodal": MultiModalSettings, "stage": Stage, "adapters": AdapterSettings}
        if problems := _mistyped(self, {"config": Mapping, **kinds, "pooler": Mapping}):
            raise OptionError(problems)

    def why_no_tower(self, modalities: Iterable[str]) -> str:
        """What leaves out a tower of these modalities on this stage, in words; empty when it is built."""
        if self.multimodal.towers_on_first_stage and self.stage.rank:
            return f"towers_on_first_stage is set, and this is {self.stage}"
        return self.multimodal.why_no_tower(modalities)

    def why_no_language_model(self) -> str:
        """What leaves out the language model, in words; empty when it is built."""
        return self.multimodal.why_no_language_model()
