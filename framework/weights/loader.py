"""Weights, one after the other, into a model that was written by hand: one pass, and every fault told at its end."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

import torch
from torch import Tensor, nn

from triptych.arguments import check_arguments
from triptych.weights.ledger import Ledger, around
from triptych.weights.mapper import Mapper
from triptych.weights.slots import is_bias, is_rotary_table
from triptych.weights.stages import Placeholder

Weights = Iterable[tuple[str, Tensor]]


class AutoWeightsLoader:
    """Gives tensors to the parameters of `module` and of all below it, by name.

    A name that nothing has is ignored when it stands at or below one of `ignore_unexpected_prefixes` (whole dotted
    steps), or ends in one of `ignore_unexpected_suffixes`, or is that of a bias.
    """

    def __init__(
        self,
        module: nn.Module,
        ignore_unexpected_prefixes: Iterable[str] = (),
        ignore_unexpected_suffixes: Iterable[str] = (),
    ) -> None:
        check_arguments(
            module=(module, nn.Module),
            ignore_unexpected_prefixes=(ignore_unexpected_prefixes, Iterable),
            ignore_unexpected_suffixes=(ignore_unexpected_suffixes, Iterable),
        )
        self.module = module
        self.ignore_unexpected_prefixes = tuple(ignore_unexpected_prefixes)
        self.ignore_unexpected_suffixes = tuple(ignore_unexpected_suffixes)

    def load_weights(self, weights: Weights, mapper: Mapper | None = None) -> set[str]:
        """Load every tensor in the order given, renamed by `mapper`; the names of what was loaded.

        Consecutive names with the same first step go to the child of that name. One with a `load_weights` of its own
        gets them first, and may get some more than once; it returns the names that it loaded, and what it leaves is
        loaded here. A `weight_loader` set on a parameter is called as `(parameter, tensor)`, or with the tensor's
        `shard_id` as a third; without one a shard fills its rows by the `pieces` that the parameter's module states.

        Raises WeightMapError with all names that nothing has, shapes that differ and parameters that nothing was
        loaded to; the model is then filled in part. Called inside the `load_weights` of a child, it leaves all of this
        to the call around it. Warns once for each pair of dtypes between which values may change.
        """
        check_arguments(weights=(weights, Iterable), mapper=(mapper, Mapper | None))
        mapped = weights if mapper is None else mapper.apply(weights)
        kept = ((name, tensor) for name, tensor in mapped if not is_rotary_table(name))
        outer = around.get()
        if outer is not None and id(self.module) in outer.paths:
            return self._load(kept, outer)
        ledger = Ledger(self.module)
        token = around.set(ledger)
        try:
            with torch.no_grad():
                loaded = self._load(kept, ledger)
        finally:
            around.reset(token)
        ledger.close()
        return loaded

    def _load(self, weights: Weights, ledger: Ledger) -> set[str]:
        base = ledger.paths[id(self.module)]
        return {_below(base, name) for name in self._load_module(self.module, base, weights, ledger)}

    def _load_module(self, module: nn.Module, path: str, weights: Weights, ledger: Ledger) -> set[str]:
        """Load to a module at `path`, which the names are below; the paths of what was loaded."""
        if isinstance(module, Placeholder):
            return set()
        own = None if module is self.module else getattr(module, "load_weights", None)
        loaded = ledger.handed(path, own(weights)) if callable(own) else set[str]()
        for step, group in groupby(weights, key=_first_step):
            if (child := module._modules.get(step)) is not None:
                below = ((_below(step, name), tensor) for name, tensor in group)
                loaded |= self._load_module(child, _join(path, step), below, ledger)
            else:
                loaded |= {full for name, tensor in group if self._place(full := _join(path, name), tensor, ledger)}
        return loaded

    def _place(self, path: str, tensor: Tensor, ledger: Ledger) -> bool:
        """Whether something has been given the tensor."""
        if (slot := ledger.slots.by_name.get(path)) is None:
            if not self._ignores(_below(ledger.paths[id(self.module)], path)):
                ledger.unknown(path)
            return False
        if slot.name != path:
            ledger.aliases[slot.name] = path
            return False
        ledger.fill(slot, tensor)
        return True

    def _ignores(self, name: str) -> bool:
        prefixes = (prefix.removesuffix(".") for prefix in self.ignore_unexpected_prefixes)
        inside = any(f"{name}.".startswith(f"{prefix}.") for prefix in prefixes)
        return inside or is_bias(name) or name.endswith(self.ignore_unexpected_suffixes)


def _first_step(item: tuple[str, Tensor]) -> str:
    return item[0].partition(".")[0]


def _below(path: str, name: str) -> str:
    """The rest of a name that stands at or below a path."""
    return name.removeprefix(path).removeprefix(".") if path else name


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name
