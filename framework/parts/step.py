"""One forward pass over packed sequences: how the rows are cut, where they stand, what is kept of the past."""
# T rows of the step, B sequences, G key/value heads, K head width

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from triptych.errors import InputError
from triptych.kernels.attention import Kept, Spans
from triptych.parts.cache_layout import state_dtypes
from triptych.parts.cache_needs import State, in_loop
from triptych.parts.sources import Source

if TYPE_CHECKING:
    from triptych.parts.cache import Cache

V = TypeVar("V")


class Step:
    """Made once a forward pass and handed to every layer; without a cache it is a plain batch.

    `positions` [T] count from the start of each sequence, unless they are given: [T], or [T, A] of several axes (time,
    height, width).
    `cuts` are other ways to cut the same rows (into frames, or windows), by name.
    `tables` are, for each group of mixers that forget alike, the pages of the cache that each sequence fills in turn;
    `slots` the places of the states of each. `types` [T] say of which text of a pair a row
    is, 0 or 1; None where all are of the first. `sources` are rows beside the sequences, by what they are rows of.
    `left` is what a layer leaves for later ones, by name; `loop` counts how often all layers have been gone through:
    each time they remember what is theirs of that time. `slots_NB` are the places of new rows where the host does not
    know them, in a `DecodeStep`.
    """

    slots_NB: Tensor | None

    def __init__(
        self,
        spans: Spans,
        *,
        device: torch.device | str,
        cache: Cache | None = None,
        tables: Sequence[Sequence[Sequence[int]]] = (),
        slots: Sequence[int] = (),
        cuts: Mapping[str, Spans] | None = None,
        types: Tensor | None = None,
        sources: Mapping[str, Source] | None = None,
        positions: Tensor | None = None,
    ) -> None:
        self.spans, self.cache, self.cuts = spans, cache, dict(cuts or {})
        self.sources = dict(sources or {})
        self.left, self.loop = dict[str, Any](), 0
        self.tables, self.slots = tables, slots
        self.bounds, self.slots_NB = spans.bounds, None
        self.device = torch.device(device)
        self.positions, self.types = self._positions() if positions is None else positions, types

    @classmethod
    def of(
        cls,
        lengths: Sequence[int],
        *,
        device: torch.device | str = "cpu",
        types: Sequence[int] | None = None,
        sources: Mapping[str, Source] | None = None,
        blocks: Sequence[Sequence[range]] = (),
    ) -> Step:
        """A batch of sequences of these lengths that nothing is remembered of; rows of `blocks` see both ways."""
        types_T = None if types is None else torch.tensor(types, device=device)
        return cls(Spans.of(lengths, blocks=blocks), device=device, types=types_T, sources=sources)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Rows of each sequence, with those kept before."""
        return self.spans.lengths

    def cut(self, name: str | None) -> Spans:
        """The rows cut by `name` (frames, windows), or into sequences. Raises InputError for an unknown cut."""
        if name is None:
            return self.spans
        if name not in self.cuts:
            raise InputError(f"the rows of this step are not cut by {name!r}; known: {', '.join(self.cuts) or 'none'}")
        return self.cuts[name]

    def source(self, name: str, *, rows: int) -> Source:
        """What the sequences look at beside their own rows, at most `rows` of it each. Raises InputError without it."""
        found = self.sources.get(name)
        if (
            found is None
            or len(found.lengths) != len(self.spans.new)
            or not all(found.lengths)
            or not (found.whole or self.cache is not None)
        ):
            raise InputError(f"a prompt of this model goes with {name}, and none is given", path=name)
        if (most := max(found.lengths)) > rows:
            raise InputError(f"has {most} rows, and the model looks at {rows} at the most", path=name)
        return found

    def keep_source(self, key: str, source: Source, make: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Kept:
        """Keys and values that `make` makes of a source's rows, for the mixer `key`: made once, and kept in a cache."""
        made = make(source.rows) if source.rows is not None else None
        if self.cache is not None:
            return self.cache.keep_source(key, source, made, self)
        assert made is not None
        return source.kept(made)

    def once(self, key: Hashable, make: Callable[[], V]) -> V:
        """What depends on the step alone (cosines, masks, indices) is made once, not once a layer."""
        return self.spans.once(key, make)

    def store(self, key: str, *rows: Tensor) -> Kept | None:
        """Write the new rows [T, G, K] of the mixer `key` to the cache -> all its rows; None without a cache."""
        return self.cache.write(in_loop(key, self.loop), rows, self) if self.cache is not None else None

    def places(self, key: str) -> tuple[Kept, Tensor] | None:
        """All rows of the mixer `key`, and where the new ones go [T], for who writes them; None without a cache."""
        if self.cache is None:
            return None
        key = in_loop(key, self.loop)
        return self.cache.kept(key, self), self.cache.row_slots(key, self)

    def state(self, key: str, need: State, *, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """What the mixer `key` goes on from: tensors [B, ...] of the step's sequences, noughts for one that begins.

        They are copies; `keep` puts the new ones in their place. Without a cache every sequence begins.
        """
        if self.cache is not None:
            return self.cache.read_state(key, self)
        made = ((len(self.spans.new), *shape) for shape in need.shapes)
        dtypes = state_dtypes(need, dtype)
        return tuple(torch.zeros(shape, dtype=d, device=self.device) for shape, d in zip(made, dtypes, strict=True))

    def keep(self, key: str, *state: Tensor) -> None:
        """What the mixer `key` goes on from after this step: tensors [B, ...]; without a cache nothing is kept."""
        if self.cache is not None:
            self.cache.write_state(key, state, self)

    def per_row(self, values: Sequence[int]) -> Tensor:
        """A value for each sequence -> one for each row [T]."""
        found = torch.tensor(values, device=self.device)
        return found if self.spans.single else found.repeat_interleave(torch.tensor(self.spans.new, device=self.device))

    def _positions(self) -> Tensor:
        if self.spans.single:
            return torch.tensor(self.spans.past, device=self.device)
        ranges = zip(self.spans.past, self.lengths, strict=True)
        return torch.cat([torch.arange(start, stop, device=self.device) for start, stop in ranges])
