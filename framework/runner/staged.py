"""One stage of a model, run by the same loops as a whole one while the other processes run theirs."""

# T tokens of a step, N rows, V vocabulary, n_i rows of item i

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from zlib import crc32

import torch
from torch import Tensor, nn

from triptych.capabilities.pipeline import IntermediateTensors
from triptych.errors import CapabilityError
from triptych.parts.cache_layout import row_size, state_size
from triptych.parts.cache_needs import CacheNeed, Rows
from triptych.parts.step import Step
from triptych.runner.drawn import Drawn, packed, unpacked
from triptych.runner.memory import cache_budget
from triptych.runner.pipe import DTYPES, Pipe
from triptych.runner.reading import read_logits
from triptych.runner.request import Request, RunOptions
from triptych.runner.sampling import Sampler

HOST = torch.device("cpu")
MANY = 2**62  # rows of a cache where the system does not say what is free


class Staged(nn.Module):
    """A stage's module as the runner sees a model: its rows come from the stage before and go to the next.

    The first stage encodes items and embeds ids. The last draws tokens and pools, and shares what it finds, so that
    every process goes on alike. What a process has no use for are rows of nought without memory. Anything else is read
    from the module.
    """

    def __init__(self, module: Any, pipe: Pipe) -> None:
        super().__init__()
        self.inner, self.pipe = module, pipe
        first = next(module.parameters())
        self.device = first.device
        empty = module.make_empty_intermediate_tensors(0, first.dtype, first.device)
        self._names = sorted(name for name, _ in empty.items())

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)

    def embed_multimodal(self, **items: Any) -> Any:
        """Rows [n_i, D] of each item; on other stages than the first as many of nought.

        They count as many bytes as those of the first do, so that every process keeps the same of them.
        """
        if self.pipe.stage.is_first:
            with self.pipe.telling():
                found: object = self.inner.embed_multimodal(**items)
            self.pipe.share(_sizes(found), source=0, device=HOST)
            return found
        dtype, *sizes = self.pipe.share(None, source=0, device=HOST).tolist()
        return [self._nought(*shape, dtype=DTYPES[dtype]) for shape in zip(sizes[::2], sizes[1::2], strict=True)]

    def embed_input_ids(
        self, input_ids: Tensor, multimodal_embeddings: Any = None, *, is_multimodal: Tensor | None = None
    ) -> Any:
        """Embeddings of ids [T] with the items' rows in their places, on the first stage."""
        if not self.pipe.stage.is_first:
            return self._nought(len(input_ids))
        return self.inner.embed_input_ids(input_ids, multimodal_embeddings, is_multimodal=is_multimodal)

    def forward(
        self, input_ids: Tensor | None, positions: Tensor, *, step: Step, inputs_embeds: Tensor | None = None
    ) -> Any:
        """Hidden rows of the step, on the last stage. Raises StageError when another process reads another step."""
        stage, mark = self.pipe.stage, _mark(input_ids, step)
        earlier = None
        if not stage.is_first:
            earlier = self.pipe.receive(self._names, mark=mark, device=self.device)
            input_ids = inputs_embeds = None
        found = self.inner(input_ids, positions, step=step, intermediate_tensors=earlier, inputs_embeds=inputs_embeds)
        if stage.is_last:
            return found
        self.pipe.send(self._checked(found), mark=mark)
        return self._nought(step.bounds[-1])

    def compute_logits(self, hidden_states: Tensor) -> Any:
        """The logits [N, V] that the last stage makes of its hidden rows. Raises StageError where it fails."""
        return self.shared(lambda: read_logits(self.inner, hidden_states))

    def draw(self, hidden_states: Tensor, sampler: Sampler, slots: Sequence[int]) -> Drawn:
        """What the last stage draws after its hidden rows [B, D], of whose logits no other hears.

        Raises StageError where it fails.
        """
        own = self.shared(lambda: packed(sampler.draw(read_logits(self.inner, hidden_states), slots)))
        return unpacked(own, sampler.counts(slots))

    @property
    def pooler(self) -> SharedPooler:
        """The pooler of the last stage."""
        return SharedPooler(self)

    def cache_needs(self) -> dict[str, CacheNeed]:
        """What its mixers keep, of which nothing is forgotten: so every process has the same pages for a request."""
        needs: Mapping[str, CacheNeed] = self.inner.cache_needs()
        return {
            key: replace(need, window=None, chunk=None) if isinstance(need, Rows) else need
            for key, need in needs.items()
        }

    def agreed(self, run: RunOptions, *, most: int | None = None) -> RunOptions:
        """The same for every process: a cache of as many rows, `most` bytes of them at the most.

        That is as many as the process with the least room for those of its layers can keep. Raises CapabilityError
        when the layers of any stage keep states.
        """
        if not self.pipe.least(not state_size(self.inner.cache_needs(), run.dtype)):
            raise CapabilityError("a model whose layers keep states does not run in stages; in one process it does")
        row = max(1, row_size(self.inner.cache_needs()) * run.dtype.itemsize)
        budget = run.cache_bytes
        if budget is None:
            budget = min((each for each in (cache_budget(run.device), most) if each is not None), default=None)
        rows = self.pipe.least(MANY if budget is None else budget // row)
        return run if rows == MANY else replace(run, cache_bytes=rows * row)

    def seeded(self, requests: Sequence[Request]) -> list[Request]:
        """The requests, each that has no seed with one that every process gives it."""
        seed = self.pipe.least(secrets.randbits(62))
        return [_seeded(request, seed + number) for number, request in enumerate(requests)]

    def shared(self, make: Callable[[], object]) -> Tensor:
        """The tensor that the last stage makes, on every one. Raises StageError where it fails."""
        last, own = self.pipe.stage.size - 1, None
        if self.pipe.stage.is_last:
            with self.pipe.telling():
                own = _as_tensor(self.inner, make())
        return self.pipe.share(own, source=last, device=self.device)

    def _checked(self, found: object) -> IntermediateTensors:
        if isinstance(found, IntermediateTensors) and sorted(name for name, _ in found.items()) == self._names:
            return found
        given = found if isinstance(found, IntermediateTensors) else type(found).__name__
        wanted = f"IntermediateTensors({', '.join(self._names)}), as make_empty_intermediate_tensors gives"
        raise CapabilityError(
            f"{self.pipe.stage} of {type(self.inner).__qualname__} returns {given}; {wanted}, is wanted"
        )

    def _nought(self, count: int, width: int = 1, *, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.zeros(1, 1, dtype=dtype, device=self.device).expand(count, width)


class SharedPooler:
    """The pooler of a pipeline's last stage: its rows are those of every process."""

    def __init__(self, staged: Staged) -> None:
        self._staged, self._pooler = staged, staged.inner.pooler

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pooler, name)

    def __call__(self, hidden_states: Tensor, step: Step) -> Any:
        """What the pooler gives for the hidden rows of a step."""
        return self._staged.shared(lambda: self._pooler(hidden_states, step))


def _seeded(request: Request, seed: int) -> Request:
    if request.options.seed is not None:
        return request
    return replace(request, options=replace(request.options, seed=seed))


def _as_tensor(model: object, found: object) -> Tensor:
    if isinstance(found, Tensor):
        return found
    raise CapabilityError(f"{type(model).__qualname__} gives {type(found).__name__}, where a tensor is wanted")


def _sizes(found: object) -> Tensor:
    """The dtype of the rows of items, and the shape of each; what are no rows is told by who asked for them."""
    listed: Sequence[object] = [*found] if isinstance(found, Tensor | list | tuple) else []
    rows = [each for each in listed if isinstance(each, Tensor) and each.ndim == 2]
    dtype = DTYPES.index(rows[0].dtype) if rows else 0
    return torch.tensor([dtype, *(size for each in rows for size in each.shape)])


def _mark(input_ids: Tensor | None, step: Step) -> int:
    """A number that tells steps apart: of which tokens, in which sequences, after how many of each."""
    ids = b"" if input_ids is None else input_ids.cpu().numpy().tobytes()
    return crc32(repr((step.tables, step.bounds, step.lengths)).encode(), crc32(ids))
