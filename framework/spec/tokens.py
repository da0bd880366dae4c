"""Placeholders: which token stands for an item and how many of it, by the one formula of the spec. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

from triptych.errors import InputError, Place, short, suggest
from triptych.spec.document import Tree
from triptych.spec.form_types import Attend
from triptych.spec.item_facts import AudioFacts, ImageFacts, ItemFacts, ProcessorConfig, VideoFacts
from triptych.spec.prompts import Around, Checked, Pieces, Planned, plan_content
from triptych.spec.scope import REQUIRED, Collector, Scope

Count = Callable[[ItemFacts, ProcessorConfig], int]


class Size(Protocol):
    """A part of the kind `size`: what is known of an item -> its grid, whose fields name expressions."""

    def largest(self, modality: str, processor: ProcessorConfig) -> ItemFacts:
        """The facts of an item that takes the most rows."""

    def __call__(self, item: ItemFacts, processor: ProcessorConfig) -> Grid: ...


class Grid(Protocol):
    """Whole numbers that say how the rows of an item lie, in time, height and width first."""

    def _asdict(self) -> dict[str, int]: ...

    def __iter__(self) -> Iterator[int]: ...


Known = ItemFacts | Grid | None
"""What is known of an item: its facts, or of rows that are encoded already their grid, or nothing."""


@dataclass(frozen=True)
class TokenRule:
    """The `placeholder` id of a modality; `target`, the text of a prompt that one item stands for.

    `content(count, item, processor)` is what it becomes there; rows that are encoded already are known by their grid
    alone, or by nothing. Until then its `single` id stands there: the placeholder, or where another modality has the
    same one, `apart`, which is below 0 and no token's.

    `count(item, processor)` is the number of placeholders of an item of which that is known, as the processor of that
    configuration prepares it. Prompt expansion, dummy inputs and the merge check all ask this one function.
    `largest(processor)` are the facts of an item that takes the most. `rows` is what the tower makes of an item, before
    any are left out or joined; None where nothing says it.

    `tower` takes the items. `grid(item, processor)` is how the rows of an item lie; where its tensor does not show it,
    the numbers of the grid go with it, and `told` reads them again. `keywords` are what the checkpoint's processor is
    told, unless a request says other, to prepare items as `count` counts them; `prepared(item, processor)` are others,
    of that item. `defaults` are what the processor is set to where its file is silent.

    `sampling(item, processor)` are the frames of a file of video that are taken. `together` of them are a moment, where
    a processor makes vectors of patches; it is 0 where nothing says that it may. `sized(item, processor)` are the
    height and the width that frames have before they go there, where it does not bring them to their size itself.
    `bound(processor)` is the most frames that are taken, None for any number; `largest_of(frames, processor)` are the
    facts of a video of so many that takes the most, where `largest` does not show it.

    `before` and `after` are the texts around its placeholders, where nothing else is put between these; or, where that
    `varies` with the item, those around the placeholders of the plainest. `attend` says whose rows
    see each other both ways: those of one item, or of the whole prompt. `pruning` is the share of an item's rows that
    is left out, and not counted; `whole` counts them, too. `timed` says that texts stand between the moments of an
    item.
    """

    placeholder: int
    target: str
    count: Count
    largest: Callable[[ProcessorConfig], ItemFacts]
    rows: Count | None = None
    tower: str = ""
    grid: Callable[[ItemFacts, ProcessorConfig], Grid] | None = None
    told: Callable[[Iterable[int]], Any] | None = None
    content: Callable[[int, Known, ProcessorConfig], Pieces] = lambda count, item, processor: (count,)  # noqa: ARG005
    before: str = ""
    after: str = ""
    varies: bool = False
    attend: Attend | None = None
    pruning: float = 0.0
    whole: Count | None = None
    timed: bool = False
    keywords: Mapping[str, object] = field(default_factory=dict, hash=False)
    prepared: Callable[[ItemFacts, ProcessorConfig], Mapping[str, object]] = lambda item, processor: {}  # noqa: ARG005
    defaults: ProcessorConfig = field(default_factory=dict, hash=False)
    sampling: Callable[[VideoFacts, ProcessorConfig], Sequence[int]] | None = None
    together: int = 0
    sized: Callable[[VideoFacts, ProcessorConfig], tuple[int, int]] | None = None
    bound: Callable[[ProcessorConfig], int | None] = lambda processor: None  # noqa: ARG005
    largest_of: Callable[[int, ProcessorConfig], VideoFacts] | None = None
    apart: int | None = None

    @property
    def single(self) -> int:
        return self.placeholder if self.apart is None else self.apart


def tower_of(tree: Tree, modality: str) -> str:
    """The name of the tower that takes the items of a modality."""
    return ((tree.get("tokens") or Tree()).get(modality) or Tree()).get("tower") or modality


def token_rules(scope: Scope, scopes: Mapping[str, Scope]) -> dict[str, TokenRule]:
    """The rules of a multimodal spec by modality. Raises SpecError for what is missing or of the wrong kind."""
    found = dict[str, TokenRule]()
    problems, sections = Collector(), scope.tree.get("tokens") or Tree()
    towers = {name for name, tower in (scope.tree.get("towers") or {}).items() if tower}
    for modality, tree in sections.items():
        with problems.catching():
            if tree is not None:
                at = scope.at("tokens", modality)
                tower, place = tower_of(scope.tree, modality), sections.keys_at.get(modality)
                if tower not in towers:
                    at.fail(f"no tower {tower!r} gives it rows{suggest(tower, towers)}", place)
                rule = _rule(at, tree, modality, scopes.get(f"towers.{tower}", scope))
                apart = -1 - len(found) if any(rule.placeholder == r.placeholder for r in found.values()) else None
                found[modality] = replace(rule, tower=tower, apart=apart)
    problems.check()
    return found


def _rule(scope: Scope, tree: Tree, modality: str, tower: Scope) -> TokenRule:
    place = min(tree.values_at.values(), default=None)
    placeholder = scope.value(tree.get("placeholder"), tree.values_at.get("placeholder"))
    if isinstance(placeholder, bool) or not isinstance(placeholder, int):
        scope.fail(f"the placeholder is a token id, not {short(placeholder)}", tree.values_at.get("placeholder", place))
    speaker = tower if _updates(tower, modality) else scope
    if len(own := _updates(speaker, modality)) != 1:
        scope.fail(f"{len(own)} entries of prompt_updates for it; one says what it replaces", place)
    if tree.get("count") is None:
        scope.at("count").fail(REQUIRED, place)
    size, rows = tower_counts(scope, tower, tree.values_at.get("count"))
    ((number, update),) = own.items()
    planned = plan_content(replace(speaker, path=("prompt_updates", str(number))), update)
    count, largest = _count(scope, tree, rows, size), partial(size.largest, modality)
    keywords, told = getattr(size, "keywords", {}), getattr(size, "told", None)
    rule = TokenRule(placeholder, update["replace"], count, largest, rows)
    rule = replace(rule, attend=tree.get("attend"), keywords=keywords, **_around(planned))
    rule = replace(rule, **_of_videos(scope, tree), prepared=getattr(size, "prepared", rule.prepared))
    rule = replace(rule, content=_content(planned, size, rule.together or 1), sized=getattr(size, "sized", None))
    rule = replace(rule, timed=getattr(planned, "timed", False), largest_of=getattr(size, "largest_of", None))
    return replace(rule, grid=size, told=told._make if told else None)


def _of_videos(scope: Scope, tree: Tree) -> dict[str, Any]:
    """What a rule says of frames, and of the processor that takes them."""
    defaults = scope.at("defaults").value(tree.get("defaults") or {}, tree.values_at.get("defaults"))
    if not tree.get("sampling"):
        return {"defaults": defaults}
    sampling = scope.at("sampling").part("sampling", tree["sampling"], tree.values_at.get("sampling"))[1].build()
    found = {"defaults": defaults, "sampling": sampling, "together": getattr(sampling, "together", 0)}
    return {**found, "bound": getattr(sampling, "bound", TokenRule.bound)}


def _around(content: Planned) -> dict[str, Any]:
    """The texts before and after the placeholders of an item, and whether they are others for other items."""
    if isinstance(content, Around):
        return {"before": "".join(content.before), "after": "".join(content.after)}
    part = content.content if isinstance(content, Checked) else content
    before, after = getattr(part, "edges", ("", ""))
    return {"before": before, "after": after, "varies": bool(before + after)}


def _updates(scope: Scope, modality: str) -> dict[int, Tree]:
    """The entries of prompt_updates for a modality by their number; those of a tower's own spec win."""
    updates = scope.tree.get("prompt_updates") or ()
    return {number: update for number, update in enumerate(updates) if update["modality"] == modality}


def tower_counts(scope: Scope, tower: Scope, place: Place | None) -> tuple[Size, Count]:
    """The size of a tower's items, and the rows that it makes of one. Raises SpecError when its spec does not say."""
    items = tower.tree.get("items") or Tree()
    if not items.get("size") or items.get("rows") is None:
        scope.fail(f"the tower's spec {tower.name!r} says no `items`, with `size` and `rows`", place)
    size = tower.at("items", "size").part("size", items["size"], items.values_at.get("size"))[1].build()
    return size, _rows(tower, size)


def _content(content: Planned, size: Size, together: int) -> Callable[[int, Known, ProcessorConfig], Pieces]:
    def become(count: int, item: Known, processor: ProcessorConfig) -> Pieces:
        grid = size(item, processor) if isinstance(item, ItemFacts) else item
        return content(count, grid, () if item is None else _seconds(item, together))

    return become


def _seconds(item: ItemFacts | Grid, together: int) -> Sequence[float]:
    """In the middle of each moment of a video, by its frames or, as far as is known, by its grid."""
    if isinstance(item, ImageFacts | AudioFacts):
        return ()
    video = item if isinstance(item, VideoFacts) else VideoFacts(next(iter(item)) * together, 1, 1)
    return video.moments(together)


def _rows(tower: Scope, size: Size) -> Count:
    items = tower.tree["items"]

    def rows(item: ItemFacts, processor: ProcessorConfig) -> int:
        grid = size(item, processor)._asdict()
        found: int = tower.knowing(grid=grid).value(items.get("rows"), items.values_at.get("rows"))
        return found

    tower.mention(items.get("rows"))
    return rows


def _count(scope: Scope, tree: Tree, rows: Count, size: Size) -> Count:
    def count(item: ItemFacts, processor: ProcessorConfig) -> int:
        known = {"grid": size(item, processor)._asdict(), "rows": rows(item, processor)}
        found = scope.knowing(**known).value(tree["count"], tree.values_at.get("count"))
        if found == 0 and found is not False:
            raise InputError(f"an item of {item} is too small for this model, which makes no row of it")
        if isinstance(found, bool) or not isinstance(found, int) or found < 1:
            message = f"an item of {item} takes 1 or more tokens, not {short(found)}"
            scope.at("count").fail(message, tree.values_at.get("count"))
        return found

    scope.mention(tree.get("count"))
    return count
