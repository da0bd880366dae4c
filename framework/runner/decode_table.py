"""What the device knows of requests that write: tensors that stay where they are, and one copy that tells what is new.

A step of them is made of these tensors alone, so that it can be recorded, and replayed when they have changed.
"""

# B rows of a step, R of the table, N groups that forget alike, P pages of a request

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from triptych.kernels.attention import DecodeSpans
from triptych.kernels.prepare_step import StepTable, prepare_step
from triptych.parts.cache import Cache
from triptych.parts.decode_step import DecodeStep
from triptych.runner.entry import Entry
from triptych.runner.flight import Flight


class DecodeTable:
    """A row for each of `seqs` requests, by its slot, and one for nobody, which fills up steps.

    Requests have no more than `longest` tokens. A step has at most `most` rows.
    """

    def __init__(self, cache: Cache, *, seqs: int, longest: int, most: int) -> None:
        self._cache, self._longest, self._nobody = cache, longest, seqs
        groups, device = cache.layout.groups, cache.device
        P = max(-(-longest // group.page) for group in groups)
        R = seqs + 1

        def zeros(*shape: int, dtype: torch.dtype = torch.int32) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        sizes = torch.tensor([group.page for group in groups], dtype=torch.int32, device=device)
        self._table = StepTable(
            tokens=zeros(R, 1),  # none is known here: the next one is always the last
            known=zeros(R),
            last=zeros(R, dtype=torch.int64),
            computed=zeros(R),
            delta=zeros(R),
            pages=zeros(len(groups), R, P) - 1,
            page_sizes=sizes,
        )
        self._numbers = zeros(5 * most + 1 + 2 * self._table.pages.numel())
        self._sent: list[tuple[list[list[int]], list[int]] | None] = [None] * seqs

    def send(self, writers: Sequence[Entry], size: int, *, before: Flight | None) -> None:
        """Tell of the next token of each of the `writers`, in a step of `size` rows.

        Tokens that the host does not know are those of the flight `before`.
        """
        count = len(writers)
        more = size - count
        slots = [entry.slot for entry in writers if entry.slot is not None]
        changes = [change for entry in writers for change in self._new_pages(entry)]
        numbers = [*slots, *[self._nobody] * more, *range(count + 1), *[count] * more]
        for values in (
            [entry.rows for entry in writers],
            [entry.places.delta if entry.places else 0 for entry in writers],
            [entry.tokens[-1] for entry in writers],
        ):
            numbers += values + [0] * more
        numbers += [at for at, _ in changes] + [page for _, page in changes]
        told = torch.tensor(numbers, dtype=torch.int32, pin_memory=self._numbers.is_cuda)
        self._numbers[: len(told)].copy_(told, non_blocking=True)
        if changes:
            at, pages = self._numbers[5 * size + 1 : len(told)].view(2, -1)
            self._table.pages.view(-1).index_copy_(0, at.long(), pages)
        if before is not None:
            self._table.last.index_copy_(0, self._numbers[:count].long(), before.tokens_of(writers))

    def step(self, size: int) -> tuple[Tensor, DecodeStep]:
        """The ids [B] and the step that was told of last, of `size` rows. No number of the host goes into it."""
        rows, _, computed, delta, tokens = self._numbers[: 5 * size + 1].split_with_sizes(
            (size, size + 1, size, size, size)
        )
        table, at = self._table, rows.long()
        table.computed.index_copy_(0, at, computed)
        table.delta.index_copy_(0, at, delta)
        table.last.index_copy_(0, at, tokens.long().where(tokens >= 0, table.last[at]))
        found = prepare_step(self._numbers[: 2 * size + 1], table, requests=size, size=size)
        spans = DecodeSpans(found.lengths, rows, table.pages, most=self._longest)
        return found.ids, DecodeStep(spans, slots_NB=found.slots, positions=found.positions, cache=self._cache)

    def _new_pages(self, entry: Entry) -> Iterator[tuple[int, int]]:
        """Where in the tensor of pages which one is to be written: of who has begun again, all."""
        assert entry.slot is not None
        sent, (_, R, P) = self._sent[entry.slot], self._table.pages.shape
        if sent is None or sent[0] is not entry.tables:
            self._sent[entry.slot] = sent = (entry.tables, [0] * len(entry.tables))
        for group, table in enumerate(entry.tables):
            for number in range(sent[1][group], len(table)):
                yield (group * R + entry.slot) * P + number, table[number]
            sent[1][group] = len(table)
