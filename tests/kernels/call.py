"""One call of an op, for the proofs of its kernel: against its definition, and that it compiles."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

SEED = int(os.environ.get("TRIPTYCH_SEED") or int.from_bytes(os.urandom(4), "little"))  # fresh data at every run
RATIOS = {torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 5e-3}  # of RMS errors to the RMS of what is wanted
ULPS = {torch.float32: 8, torch.float16: 1, torch.bfloat16: 1}  # of the largest number; sums in float32 have an order
WORSE, GRADIENTS = 2.0, 1.6  # than plain torch in the same dtype, at most; and how much more gradients may err
Given = dict[str, Any]


@dataclass
class Draw:
    """What calls are given: random numbers of one dtype, in tensors of several layouts."""

    dtype: torch.dtype
    device: str = "cpu"
    seed: int = SEED
    generator: torch.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.generator = torch.Generator().manual_seed(self.seed)

    def __call__(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        return torch.randn(shape, generator=self.generator).to(self.device, dtype or self.dtype)

    def matrices(self, *shape: int) -> Tensor:
        """[..., O, I], whose products with random rows are about as large as these."""
        return self(*shape) / shape[-1] ** 0.5

    def sliced(self, *shape: int) -> Tensor:
        """Cut out of wider rows, from a column that no alignment helps."""
        return self(*shape[:-1], shape[-1] + 8)[..., 3 : 3 + shape[-1]]

    def apart(self, *shape: int) -> Tensor:
        """Some of more along the second dimension, as heads of queries lie beside those of keys."""
        return self(shape[0], shape[1] + 3, *shape[2:])[:, 1 : 1 + shape[1]]

    def whole(self, high: int, *shape: int, dtype: torch.dtype = torch.int32) -> Tensor:
        """Whole numbers from 0 to below `high`."""
        return torch.randint(0, high, shape, generator=self.generator).to(self.device, dtype)


class Blank(Draw):
    """Tensors of the same shapes that say nothing, for calls that only compile."""

    def __call__(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        return torch.empty(shape, dtype=dtype or self.dtype, device=self.device)

    def matrices(self, *shape: int) -> Tensor:
        """As they are: what nobody writes to takes no memory, and these may be gigabytes."""
        return self(*shape)


@dataclass(frozen=True)
class Call:
    """What an op is given, by the names of its arguments; the arguments that gradients are asked of.

    `products`: the kernel multiplies matrices, on tensor cores; `ahead`: its loop loads before it computes.
    """

    op: str
    name: str
    make: Callable[[Draw], Given]
    gradients: Sequence[str] = ()
    products: bool = False
    ahead: bool = False

    def __str__(self) -> str:
        return f"{self.op}-{self.name}"

    @cached_property
    def kernel(self) -> Callable[..., Any]:
        return self._implementation("kernel")

    @cached_property
    def reference(self) -> Callable[..., Any]:
        return self._implementation("reference")

    def _implementation(self, which: str) -> Callable[..., Any]:
        found: Callable[..., Any] = getattr(import_module(f"triptych.kernels.{self.op}.{which}"), self.op)
        return found

    def outcome(self, op: Callable[..., Any], given: Given) -> list[Tensor]:
        """What the op returns, and the gradients of a sum of it in which each number has a weight of its own."""
        asked = [given[name].detach().requires_grad_() for name in self.gradients]
        found = tree_leaves(op(**given | dict(zip(self.gradients, asked, strict=True))))
        if asked:
            weights = torch.Generator().manual_seed(1)
            drawn = [torch.randn(y.shape, generator=weights).to(y) for y in found]
            total = sum((y * w).sum() for y, w in zip(found, drawn, strict=True) if y.requires_grad)
            found += torch.autograd.grad(total, asked)
        return [y.detach() for y in found]


def calls(field: str) -> list[Call]:
    """Those that the files of `calls/`, one an op, list under a name."""
    files = sorted((Path(__file__).parent / "calls").glob("*.py"))
    return [call for file in files for call in getattr(import_module(f"tests.kernels.calls.{file.stem}"), field, ())]


def check(call: Call, draw: Draw) -> None:
    """Hold the kernel to the definition in float64: as near as the dtype allows, and as plain torch in that dtype."""
    given = call.make(draw)
    wide = tree_map(lambda x: x.double() if isinstance(x, Tensor) and x.is_floating_point() else x, given)
    with poisoned():
        found = call.outcome(call.kernel, _copied(given))
    wanted, plain = call.outcome(call.reference, _copied(wide)), call.outcome(call.reference, _copied(given))
    results = len(wanted) - len(call.gradients)
    assert len(found) == len(wanted)
    for i, (y, true, near) in enumerate(zip(found, wanted, plain, strict=True)):
        told = f"{call}, {draw.dtype}, result {i}, TRIPTYCH_SEED={draw.seed}"
        assert (y.shape, y.dtype) == (near.shape, near.dtype), told
        if not y.is_floating_point():
            assert y.equal(true), told
            continue
        assert y.isfinite().all(), f"{told}: not all of it is written"
        if not y.numel():
            continue
        more = GRADIENTS if i >= results else 1.0
        error, size = y.double() - true, true.square().mean().sqrt()
        assert error.square().mean().sqrt() <= more * RATIOS[draw.dtype] * size, told
        ulp = ULPS[y.dtype] * torch.finfo(y.dtype).eps * true.abs().max()
        assert error.abs().max() <= more * WORSE * (near.double() - true).abs().max() + ulp, told


def _copied(given: Given) -> Given:
    """For an op that writes into what it is given."""
    copies: Given = tree_map(lambda x: x.clone() if type(x) is Tensor and x.is_contiguous() else x, given)
    return copies


@contextmanager
def poisoned() -> Iterator[None]:
    """Memory that nothing was written to yet holds NaN, or the largest whole number."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
