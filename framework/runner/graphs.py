"""Steps in which requests only write, recorded once as a graph of launches and replayed: the host asks for one thing.

Of each bucket of batch sizes there is one graph; a step takes the next one that it fits into, filled up with rows of
nobody. All share one pool of memory, since the outcome of one is used before the next one runs.
"""

# B rows of a step, D width

from __future__ import annotations

import logging
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from triptych.errors import OptionError
from triptych.parts.cache import Cache
from triptych.parts.cache_needs import CacheNeed
from triptych.runner.decode_table import DecodeTable
from triptych.runner.flight import Flight
from triptych.runner.protocols import TextGenerationModel
from triptych.runner.reading import forward
from triptych.runner.request import RunOptions
from triptych.runner.schedule import Plan
from triptych.runner.sizes import Sizes
from triptych.runner.staged import Staged

logger = logging.getLogger(__name__)

BUCKETS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256)  # rows; of larger steps the device's time counts alone
OFTEN = 3  # steps of a bucket that are computed one by one before it is worth a graph

Replay = Callable[[], Tensor]  # does again what was recorded -> its outcome, in the same tensor each time


class Capture(Protocol):
    """What records launches."""

    def capture(self, run: Callable[[], Tensor]) -> Replay:
        """Record what `run` asks of the device, which was run before. Raises what `run` does, and where it waits."""
        ...


class CudaCapture:
    """CUDA graphs of one pool of memory."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def capture(self, run: Callable[[], Tensor]) -> Replay:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            found = run()

        def replay() -> Tensor:
            graph.replay()
            return found

        return replay


CAPTURES: dict[str, Callable[[], Capture]] = {"cuda": CudaCapture}  # by kind of device


def capture_for(model: object, run: RunOptions) -> Capture | None:
    """What records the steps of a model; None where they are computed one by one. Raises OptionError where they must.

    That a model cannot be recorded is logged.
    """
    make = CAPTURES.get(run.device.type)
    if run.graphs and make is None:
        raise OptionError(f"steps are recorded on {', '.join(CAPTURES)}, and this is {run.device.type}", path="graphs")
    if make is None or run.graphs is False:
        return None
    if why := why_not_recorded(model):
        logger.warning("steps are computed one by one, not recorded as graphs: %s", why)
        return None
    return make()


def why_not_recorded(model: Any) -> str | None:
    """Why a model's steps cannot be recorded: a mixer that remembers something does not say that it can."""
    if isinstance(model, Staged):
        return "the model is in stages"
    modules = model.named_modules() if isinstance(model, torch.nn.Module) else ()
    mixers = [(name, each) for name, each in modules if isinstance(getattr(each, "cache_need", None), CacheNeed)]
    if not mixers:
        return f"{type(model).__qualname__} has no mixers that say what they can"
    name, mixer = next((pair for pair in mixers if not getattr(pair[1], "decodes_on_device", False)), ("", None))
    return mixer and f"{type(mixer).__qualname__} ({name}) asks for numbers that the host has to know"


class DecodeGraphs:
    """Hidden rows of steps that only write, by graphs that are recorded when a bucket is met often."""

    def __init__(self, model: TextGenerationModel, cache: Cache, sizes: Sizes, capture: Capture) -> None:
        self._model, self._capture = model, capture
        self._most = BUCKETS[min(bisect_left(BUCKETS, sizes.seqs), len(BUCKETS) - 1)]
        self._table = DecodeTable(cache, seqs=sizes.seqs, longest=sizes.longest, most=self._most)
        self._met, self._replays = Counter[int](), dict[int, Replay]()
        self._failed = False

    def hidden_rows(self, plan: Plan, *, before: Flight | None) -> Tensor | None:
        """The hidden rows [B, D] of the writers of a plan, until the next step; None for a step without a graph."""
        count = len(plan.writers)
        if self._failed or plan.chunks or not 0 < count <= self._most:
            return None
        size = BUCKETS[bisect_left(BUCKETS, count)]
        if (replay := self._replays.get(size)) is None:
            self._met[size] += 1
            if self._met[size] <= OFTEN:
                return None
        self._table.send(plan.writers, size, before=before)
        if replay is None and (replay := self._recorded(size)) is None:
            return None
        return replay()[:count]

    def _recorded(self, size: int) -> Replay | None:
        """A graph of the step that the table was told of; None, and no more is tried, where that fails."""

        def run() -> Tensor:
            ids_B, step = self._table.step(size)
            return forward(self._model, ids_B, step, None)

        try:
            run()  # compiles kernels, and what libraries set up at first is there; the same rows are written again
            self._replays[size] = self._capture.capture(run)
        except Exception as error:
            self._failed = True
            logger.warning("steps are computed one by one, not recorded as graphs: %s", error, exc_info=True)
            return None
        return self._replays[size]
