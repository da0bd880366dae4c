"""What one call of a loader, and all calls inside it, have seen: the one place where faults are told."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

from triptych.errors import TriptychWarning, WeightMapError
from triptych.weights.faults import missing, problems
from triptych.weights.mapper import SHARD_ID, ShardId
from triptych.weights.shards import Finding
from triptych.weights.slots import Slot, Slots

MAX_HINTS = 10  # near names are slow to look for


class WeightWarning(TriptychWarning):
    """Tensors are loaded of which not everything can be told: their values change, or a loader names none."""


class Ledger:
    """What one call, and all calls inside it, have seen."""

    def __init__(self, root: nn.Module) -> None:
        self.slots = Slots(root)
        self.subject = type(root).__name__
        self.paths = {id(module): path for path, module in root.named_modules()}
        self.seen: dict[str, set[int]] = {}  # the pieces that have been loaded of each slot
        self.aliases: dict[str, str] = {}  # first name -> the other that a tensor came under
        self.findings: list[Finding] = []
        self.casts: dict[tuple[torch.dtype, torch.dtype], list[str]] = {}

    def unknown(self, path: str) -> None:
        message = self.slots.unknown(path, near=len(self.findings) < MAX_HINTS)
        self.findings.append(Finding("unexpected", path, message))

    def handed(self, path: str, names: Iterable[str] | None) -> set[str]:
        """Note what a child's own `load_weights` says that it loaded."""
        if names is None:
            text = f"{path}: its load_weights returns no names; all that it has counts as loaded"
            warnings.warn(text, WeightWarning, stacklevel=2)
            found = {name for name in self.slots.by_name if name.startswith(f"{path}.")}
        else:
            found = {f"{path}.{name}" for name in names}
        for slot in filter(None, map(self.slots.by_name.get, found)):
            self.seen.setdefault(slot.name, set(range(len(slot.pieces))))
        return found

    def fill(self, slot: Slot, tensor: Tensor) -> None:
        shard: ShardId | None = getattr(tensor, SHARD_ID, None)
        self.seen.setdefault(slot.name, set()).update(slot.pieces_of(shard))
        if misfit := slot.misfit(tensor.shape, shard):
            self.findings.append(Finding("wrong shape", slot.name, misfit))
            return
        if slot.tensor.is_meta and not slot.weight_loader:
            raise WeightMapError("on the meta device, without memory; first `to_empty(device=...)`", path=slot.name)
        if not widens(tensor.dtype, slot.tensor.dtype):
            self.casts.setdefault((tensor.dtype, slot.tensor.dtype), []).append(slot.name)
        with _named(slot.name):
            slot.fill(tensor, shard)

    def close(self) -> None:
        """Tell what does not fit, or which values may have changed with their dtype."""
        findings = [*self.findings, *missing(self.slots, self.seen, self.aliases)]
        if found := problems(findings, absent=self.slots.absent(), subject=self.subject):
            raise WeightMapError(found)
        for (stored, kept), names in self.casts.items():
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            message = f"{names[0]}{more}: from {stored} to {kept}, which need not hold the values"
            warnings.warn(message, WeightWarning, stacklevel=3)


# How the loader that a child makes in its own `load_weights` finds the call that it is in.
around: ContextVar[Ledger | None] = ContextVar("around", default=None)


def widens(stored: torch.dtype, kept: torch.dtype) -> bool:
    """Whether every value of the one dtype is a value of the other."""
    if stored in (kept, torch.bool):
        return True
    if stored.is_floating_point and kept.is_floating_point:
        a, b = torch.finfo(stored), torch.finfo(kept)
        return b.eps <= a.eps and b.max >= a.max and b.tiny * b.eps <= a.tiny * a.eps
    if _is_whole(stored) and _is_whole(kept):
        return torch.iinfo(kept).min <= torch.iinfo(stored).min and torch.iinfo(stored).max <= torch.iinfo(kept).max
    return False


def _is_whole(dtype: torch.dtype) -> bool:
    return not (dtype.is_floating_point or dtype.is_complex or dtype == torch.bool)


@contextmanager
def _named(path: str) -> Iterator[None]:
    """An error of someone's `weight_loader` says which parameter it is about."""
    try:
        yield
    except Exception as error:
        error.add_note(f"while {path} was loaded")
        raise
