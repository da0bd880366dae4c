"""What CUDA graphs do, emulated on a CPU: what is asked of the device once is asked again, with the same tensors.

So a number of the host that goes into it is the same for ever, and looking at a number of the device is an error, as is
a tensor of the host's numbers: a GPU would wait for either, and refuses to while it records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

LOOKS = ("_local_scalar_dense", "item", "is_nonzero", "nonzero", "masked_select", "unique", "_unique2", "equal",
         "lift_fresh", "allclose", "repeat_interleave.Tensor", "repeat_interleave.self_Tensor",
         "tensor_split.tensor_indices_or_sections")  # fmt: skip
EMPTY = ("empty", "new_empty", "empty_like", "empty_strided", "new_empty_strided")


class Refused(RuntimeError):
    """What a GPU does not do while it records."""


class Recorder:
    """Records one function after the other; their tensors share memory, as those of graphs of one pool do."""

    def __init__(self) -> None:
        self.recorded: list[Recorded] = []
        self.replayed = 0

    def capture(self, run: Callable[[], Tensor]) -> Callable[[], Tensor]:
        recorded = Recorded()
        with recorded.recording():
            recorded.outcome = run()
        self.recorded.append(recorded)
        recorded.spoil()  # nothing is computed while a graph is recorded

        def replay() -> Tensor:
            for other in self.recorded:
                other.spoil()
            recorded.replay()
            self.replayed += 1
            return recorded.outcome

        return replay


class Recorded(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Calls of operators and launches of kernels, with the tensors that they were given and gave."""

    outcome: Tensor

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Callable[[], None]] = []
        self.made: list[Tensor] = []  # tensors of its own

    @contextmanager
    def recording(self) -> Iterator[None]:
        asked = [patch.object(Tensor, name, _refuse(name)) for name in ("tolist", "numpy")]
        with asked[0], asked[1], launches(self), self:
            yield

    def replay(self) -> None:
        for call in self.calls:
            call()

    def spoil(self) -> None:
        """What stood in its memory is there no more."""
        for each in self.made:
            each.fill_(float("nan") if each.is_floating_point() else 2**20 if each.dtype != torch.bool else True)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name, kwargs = func._schema.name.removeprefix("aten::"), dict(kwargs or {})
        if {name, f"{name}.{func._overloadname}"} & {*LOOKS} or (
            name.startswith("index") and any(_is_mask(each) for each in tree_leaves(args[1:2]))
        ):
            raise Refused(f"{name} waits for the device, which records")
        found = func(*args, **kwargs)
        given = {each.untyped_storage()._cdata for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)}
        own = [x for x in tree_leaves(found) if isinstance(x, Tensor) and x.untyped_storage()._cdata not in given]
        self.made += own
        if name in EMPTY:
            return found
        if func._schema.is_mutable or own:
            self.calls.append(lambda: _again(func, args, kwargs, found, own))
        return found

    def launch(self, executor: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self.calls.append(lambda: executor(*args, **kwargs))


def _again(func: Any, args: Any, kwargs: Any, found: Any, own: Sequence[Tensor]) -> None:
    again = func(*args, **kwargs)
    for old, new in zip(tree_leaves(found), tree_leaves(again), strict=True):
        if any(old is each for each in own):
            assert old.shape == new.shape, f"{func}: as many numbers as the device says"
            old.copy_(new)


def _is_mask(x: object) -> bool:
    return isinstance(x, Tensor) and x.dtype in (torch.bool, torch.uint8)


def _refuse(name: str) -> Callable[..., None]:
    def refused(*_: Any, **__: Any) -> None:
        raise Refused(f"{name} waits for the device, which records")

    return refused


@contextmanager
def launches(recorded: Recorded) -> Iterator[None]:
    """Keep the launches of kernels too, where Triton interprets them."""
    from triton import knobs

    if not knobs.runtime.interpret:
        yield
        return
    from triton.runtime.interpreter import GridExecutor

    call = GridExecutor.__call__

    def kept(self: Any, *args: Any, **kwargs: Any) -> None:
        with _disable_current_modes():
            call(self, *args, **kwargs)
        recorded.launch(lambda *a, **k: call(self, *a, **k), args, kwargs)

    with patch.object(GridExecutor, "__call__", kept):
        yield
