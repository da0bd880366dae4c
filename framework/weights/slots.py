"""What the names of a checkpoint's tensors may be in a model that was written by hand, and what each of them takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain
from math import prod

import torch
from torch import Tensor, nn

from triptych.weights.mapper import ShardId
from triptych.weights.stages import Placeholder, is_pp_missing_parameter

MAX_NEAR = 5
QKV = {"q": 0, "k": 1, "v": 2}
ROTARY_TABLES = {
    ("rotary_emb", "inv_freq"),
    ("rotary_emb", "cos_cached"),
    ("rotary_emb", "sin_cached"),
    ("rotary_pos_emb", "inv_freq"),
}  # computed from the config, whatever a file says


@dataclass(frozen=True)
class Slot:
    """A parameter, or a buffer that is saved, under the first name that the model has for it.

    `pieces` are the rows of each of the matrices that are one in it, where its module states them: of a stack of
    matrices those of the first, then those of the next.
    """

    name: str
    tensor: Tensor
    pieces: tuple[int, ...]

    @property
    def weight_loader(self) -> Callable[..., object] | None:
        """The function `(parameter, tensor)` or `(parameter, tensor, shard)` that the model's author set on it."""
        loader: Callable[..., object] | None = getattr(self.tensor, "weight_loader", None)
        return loader

    def numbers(self, shard: ShardId | None) -> range | None:
        """Which pieces a shard is, one after the other; None when it is none of them."""
        if shard is None:
            return range(len(self.pieces))
        if isinstance(shard, str):
            shard = QKV.get(shard, -1) if len(self.pieces) == len(QKV) else -1
        first, *rest = shard if isinstance(shard, tuple) else (shard,)
        found = range(first, first + 1 + len(rest))
        whole = first >= 0 and found.stop <= len(self.pieces) and rest == list(found)[1:]
        return found if whole else None

    def pieces_of(self, shard: ShardId | None) -> range:
        """The same; all pieces for a shard that only the `weight_loader` knows."""
        numbers = self.numbers(shard)
        return range(len(self.pieces)) if numbers is None else numbers

    def share(self, a: ShardId | None, b: ShardId | None) -> bool:
        """Whether two shards are in part the same."""
        return a == b or None in (a, b) or bool(set(self.numbers(a) or ()) & set(self.numbers(b) or ()))

    def rows(self, shard: ShardId | None) -> Tensor | None:
        """The rows that a shard fills (None: all of them); None when there is no such shard."""
        if shard is None:
            return self.tensor
        if (numbers := self.numbers(shard)) is None:
            return None
        rows = self.tensor if sum(self.pieces) == len(self.tensor) else self.tensor.flatten(0, 1)
        return rows[sum(self.pieces[: numbers.start]) : sum(self.pieces[: numbers.stop])]

    def misfit(self, shape: Sequence[int], shard: ShardId | None) -> str:
        """Why a tensor of that shape cannot be put there; empty when it can. A `weight_loader` may cut as it likes."""
        if self.weight_loader:
            return ""
        if (rows := self.rows(shard)) is None:
            return f"no shard {shard!r} in it: it has no `weight_loader`, and {self._stated()}"
        if rows.shape == torch.Size(shape) or rows.numel() == prod(shape) == 1:
            return ""
        return f"{list(rows.shape)} in the model; on disk {list(shape)}"

    def _stated(self) -> str:
        return f"its module states `pieces` {self.pieces}" if self.pieces else "its module states no `pieces`"

    def fill(self, tensor: Tensor, shard: ShardId | None) -> None:
        """Give it, or the rows of a shard, the values of a tensor that is no misfit."""
        if loader := self.weight_loader:
            loader(self.tensor, tensor) if shard is None else loader(self.tensor, tensor, shard)
        else:
            rows = self.rows(shard)
            assert rows is not None
            rows.copy_(tensor.view(rows.shape))


class Slots:
    """All that a model can be given, by every name."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.by_name: dict[str, Slot] = {}
        first: dict[int, Slot] = {}
        for path, module in model.named_modules(remove_duplicate=False):
            for name, tensor in _saved(module):
                full = f"{path}.{name}" if path else name
                self.by_name[full] = first.setdefault(id(tensor), Slot(full, tensor, _pieces(module, name, tensor)))

    def required(self) -> Iterator[Slot]:
        """Every parameter, once. Buffers have values of their own."""
        return (s for name, s in self.by_name.items() if name == s.name and isinstance(s.tensor, nn.Parameter))

    def absent(self) -> list[str]:
        """The paths of placeholders: what is not built on purpose."""
        return [path for path, module in self.model.named_modules() if isinstance(module, Placeholder)]

    def is_absent(self, name: str) -> bool:
        return is_pp_missing_parameter(name, self.model)

    def unknown(self, name: str, *, near: bool) -> str:
        """What is wrong with a name that nothing has; `near`: with the names that are nearest to it."""
        above = next((path for path in _above(name) if path in self.by_name), None)
        if above is not None:
            return f"on disk, and {above} is a parameter, which has nothing below it"
        return "on disk, and no parameter is called that" + (nearest(name, self.by_name) if near else "")


def is_rotary_table(name: str) -> bool:
    return tuple(name.split(".")[-2:]) in ROTARY_TABLES


def is_bias(name: str) -> bool:
    return name.rpartition(".")[2] == "bias"


def nearest(name: str, known: Iterable[str]) -> str:
    """`; nearest: a, b, c`, the nearest first: of those that end alike, or of all."""
    names, end = list(known), name.rpartition(".")[2]
    alike = [other for other in names if other.rpartition(".")[2] == end]
    near = get_close_matches(name, alike or names, MAX_NEAR, cutoff=0.0)
    return f"; nearest: {', '.join(near)}" if near else "; it has none"


def _above(name: str) -> Iterator[str]:
    while name := name.rpartition(".")[0]:
        yield name


def _saved(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters, and buffers that a state dict has."""
    for name, tensor in chain(module._parameters.items(), module._buffers.items()):
        if tensor is not None and name not in module._non_persistent_buffers_set:
            yield name, tensor


def _pieces(module: nn.Module, name: str, tensor: Tensor) -> tuple[int, ...]:
    stacked: Mapping[str, tuple[int, ...]] = getattr(module, "stacked", {})
    if name in stacked:
        return stacked[name] * len(tensor)
    pieces: tuple[int, ...] = getattr(module, "pieces", ())
    return pieces if tensor.ndim and sum(pieces) == len(tensor) else ()
