"""A computation that is only imagined: what memory its tensors would take at a time, without computing anything."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

META = torch.device("meta")


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of tensors that come into being in its context: those that are there `now`, and the `peak`.

    Memory that several tensors share counts once, until the last of them is gone.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._live: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return each(self._counted, func(*args, **(kwargs or {})))

    def _counted(self, found: object) -> object:
        if isinstance(found, Tensor):
            storage = found.untyped_storage()
            if (key := storage._cdata) not in self._live:
                self._live[key] = storage.nbytes()
                self.now += self._live[key]
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._free, key)
        return found

    def _free(self, key: int) -> None:
        self.now -= self._live.pop(key)


class Imagined(Tensor):
    """A tensor of some device as programs see it: its shape, and nothing else."""

    shape_of: Tensor

    @staticmethod
    def __new__(cls, meta: Tensor, device: torch.device) -> Imagined:
        found: Imagined = Tensor._make_wrapper_subclass(
            cls,
            meta.shape,
            strides=meta.stride(),
            storage_offset=meta.storage_offset(),
            dtype=meta.dtype,
            device=device,
        )
        found.shape_of = meta
        return found

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        raise NotImplementedError(f"{func} is called where nothing is imagined any more")


class Imagining(LiveBytes):  # type: ignore[no-untyped-call]
    """In its context nothing is computed, as if on `device`; real tensors are read for their shapes alone."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device
        self._real: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given: dict[int, Imagined] = {}
        metas = [each(lambda x: self._meta(x, given), arg) for arg in args]
        named = {key: each(lambda x: self._meta(x, given), value) for key, value in (kwargs or {}).items()}
        if "device" in named or not any(isinstance(arg, Tensor | Sequence) for arg in metas):
            named["device"] = META
        return each(lambda x: self._imagined(x, given), func(*metas, **named))

    def _meta(self, x: object, given: dict[int, Imagined]) -> object:
        if isinstance(x, Imagined):
            given[id(x.shape_of)] = x
            return x.shape_of
        if not isinstance(x, Tensor) or x.device == META:
            return x
        if id(x) not in self._real:
            self._real[id(x)] = x, torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=META)
        return self._real[id(x)][1]

    def _imagined(self, found: object, given: Mapping[int, Imagined]) -> object:
        if not isinstance(found, Tensor):
            return found
        self._counted(found)
        return given[id(found)] if id(found) in given else Imagined(found, self._device)


def each(change: Callable[[Any], Any], values: Any) -> Any:
    """The same with every value in its lists and tuples changed."""
    if isinstance(values, tuple | list):
        changed = [each(change, value) for value in values]
        return type(values)(*changed) if hasattr(values, "_fields") else type(values)(changed)
    return change(values)


def twin(module: nn.Module) -> Any:
    """A module with the same parameters; what else is set in it, or in its parts, is set in the twin alone."""
    found = module.__new__(type(module))
    found.__dict__ = {key: _copied(value) for key, value in module.__dict__.items()}
    found._modules = {name: part and twin(part) for name, part in module._modules.items()}
    return found


def _copied(value: object) -> object:
    return value.copy() if type(value) in (dict, list, set) else value  # type: ignore[attr-defined]
