"""What a GPU takes for a call, and the most that it can do: the same clock for both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import quantiles
from typing import NamedTuple

import torch

LAUNCHES, REPLAYS = 20, 11
CACHE = 3  # times as much as the second-level cache holds is gone through, so that no call finds its tensors there
Calls = Sequence[Callable[[], object]]


class Timing(NamedTuple):
    """Microseconds of a call: the median, and those that a fifth of all are below and above."""

    us: float
    low: float
    high: float
    is_graph: bool


def timed(calls: Calls) -> Timing:
    """Of calls that do the same to other tensors, each in turn; replayed as a CUDA graph where that can be had."""
    launches = max(LAUNCHES, len(calls))
    for call in calls:
        call()
    torch.cuda.synchronize()
    graph = _captured(calls, launches)
    taken = [_milliseconds(graph.replay if graph else lambda: _all(calls, launches)) for _ in range(REPLAYS)]
    low, _, middle, _, high = quantiles([each * 1000 / launches for each in taken], n=6)
    return Timing(middle, low, high, graph is not None)


def ceilings() -> dict[str, float]:
    """GB/s of a copy and of reading alone, TFLOP/s of a product in bfloat16, microseconds of a kernel of one number."""
    count = 2**29
    a, b = (torch.randn(count, device="cuda", dtype=torch.bfloat16) for _ in "ab")
    copied = timed([lambda: b.copy_(a)])
    read = timed([lambda: a.view(torch.int32).max()])
    x, y = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in "xy")
    product = timed([lambda: x @ y])
    empty = torch.zeros(1, device="cuda")
    return {
        "copy GB/s": 4 * count / copied.us / 1e3,
        "read GB/s": 2 * count / read.us / 1e3,
        "bf16 TFLOP/s": 2 * 8192**3 / product.us / 1e6,
        "empty us": timed([lambda: empty.add_(0)]).us,
    }


def sets_of(size: int) -> int:
    """How many sets of tensors of `size` bytes in all a call is given in turn."""
    cache = torch.cuda.get_device_properties(0).L2_cache_size
    return max(1, -(-CACHE * cache // max(1, size)))


def device() -> Mapping[str, str]:
    """What the numbers are of."""
    import triton

    versions = {"torch": torch.__version__, "triton": triton.__version__, "cuda": str(torch.version.cuda)}
    return {"device": torch.cuda.get_device_name(0), **versions}


def _captured(calls: Calls, launches: int) -> torch.cuda.CUDAGraph | None:
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            _all(calls, launches)
    except RuntimeError:  # it asks the host for something; then launches are part of the time
        torch.cuda.synchronize()
        return None
    return graph


def _all(calls: Calls, launches: int) -> None:
    for number in range(launches):
        calls[number % len(calls)]()


def _milliseconds(call: Callable[[], object]) -> float:
    start, stop = (torch.cuda.Event(enable_timing=True) for _ in "ab")  # type: ignore[no-untyped-call]
    start.record()
    call()
    stop.record()
    stop.synchronize()
    return float(start.elapsed_time(stop))
