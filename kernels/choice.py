"""Which of its implementations an op runs: its Triton kernel, or plain torch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args

from torch import Tensor

from triptych.errors import KernelError, OptionError, Problem, short, suggest

Kind = Literal["auto", "triton", "reference"]
Said = str | Mapping[str, Kind]
KINDS: tuple[Kind, ...] = get_args(Kind)
log = logging.getLogger("triptych.kernels")


@dataclass(frozen=True)
class Kernels:
    """What runs for the ops named in `ops`, and for all others.

    `auto`: the kernel on a GPU where it takes the call, else plain torch; `triton`: the kernel, or a KernelError that
    says why it cannot be; `reference`: plain torch.
    """

    others: Kind = "auto"
    ops: Mapping[str, Kind] = field(default_factory=dict)

    @classmethod
    def of(cls, said: Said) -> Kernels:
        """`triton`, `{default: auto, rms_norm: reference}`, or the same in words, `auto,rms_norm=reference`.

        Raises OptionError with everything that is wrong.
        """
        kinds: dict[Any, Any] = _in_words(said) if isinstance(said, str) else {"default": said}
        kinds = {**said} if isinstance(said, Mapping) else kinds
        known = ("default", *ops_with_kernels())
        problems = [Problem(f"no such op{suggest(op, known)}", f"kernels.{op}") for op in kinds if op not in known]
        problems += [
            Problem(
                f"is {short(kind)}; {', '.join(KINDS)} are known", "kernels" if op == "default" else f"kernels.{op}"
            )
            for op, kind in kinds.items()
            if kind not in KINDS
        ]
        if problems:
            raise OptionError(problems)
        return cls(kinds.pop("default", "auto"), kinds)


AUTO = Kernels()


def _in_words(said: str) -> dict[str, str]:
    pairs = [word.rpartition("=") for word in said.split(",")]
    return {op.strip() or "default": kind.strip() for op, _, kind in pairs}


_current: ContextVar[Kernels] = ContextVar("kernels", default=AUTO)


@contextmanager
def using(kernels: Kernels) -> Iterator[None]:
    """What is called inside runs these."""
    token = _current.set(kernels)
    try:
        yield
    finally:
        _current.reset(token)


Tell = Callable[[str, str | None], None]
_imagined: ContextVar[Tell | None] = ContextVar("imagined", default=None)


@contextmanager
def imagined_gpu(tell: Tell) -> Iterator[None]:
    """Inside, tensors of meta are chosen for as those of a GPU; `tell` is told each op, and why it is plain torch."""
    token = _imagined.set(tell)
    try:
        yield
    finally:
        _imagined.reset(token)


def is_on_gpu(x: Tensor) -> bool:
    """Whether `x` is on a GPU, or on an imagined one."""
    return x.is_cuda or (x.is_meta and _imagined.get() is not None)


def wants_kernel(op: str, x: Tensor) -> bool:
    """Whether an op is to run its kernel on `x` if it can: for who has to make what it takes first."""
    kernels = _current.get()
    kind = kernels.ops.get(op, kernels.others) if kernels.ops else kernels.others
    return kind == "triton" or (kind == "auto" and is_on_gpu(x))


def kernel_for(op: str, x: Tensor, *args: Any, **options: Any) -> Any:
    """The module with the Triton kernel of an op where that is to run on `x`, else None.

    Its `refuses(x, *args, **options)` says in words why it cannot take a call, or gives None where it can. Raises
    KernelError where `triton` is asked for and cannot be.
    """
    kernels = _current.get()
    kind = kernels.ops.get(op, kernels.others) if kernels.ops else kernels.others
    if kind == "reference" or (kind == "auto" and not is_on_gpu(x)):
        return None
    module, why = None, f"tensors are on {x.device.type}; a GPU is needed, or TRITON_INTERPRET=1"
    if is_on_gpu(x) or interpreting():
        module = import_module(f"triptych.kernels.{op}.kernel")
        why = module.refuses(x, *args, **options)
    if kind == "triton" and why:
        raise KernelError(f"{op}: kernels are `triton`, but {why}; `auto` runs plain torch then")
    if tell := _imagined.get():
        tell(op, why)
    else:
        _log_once(op, f"plain torch, for {why}" if why else "its Triton kernel")
    return None if why else module


@cache
def ops_with_kernels() -> tuple[str, ...]:
    """The ops that have a Triton kernel, by name."""
    return tuple(sorted(file.parent.name for file in Path(__file__).parent.glob("*/kernel.py")))


def interpreting() -> bool:
    """Whether kernels run in Triton's interpreter, on tensors of the CPU."""
    from triton import knobs

    return bool(knobs.runtime.interpret)


@cache
def _log_once(op: str, what: str) -> None:
    log.info("%s: %s", op, what)
