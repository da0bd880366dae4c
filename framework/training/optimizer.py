"""Muon for the matrices of a model and AdamW for all else, as one optimizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer

from triptych.parts.parameters import Linear
from triptych.parts.projectors import LinearStep


def matrices_of(model: nn.Module) -> set[Tensor]:
    """The weights [width_out, width_in] of linear layers, low-rank ones among them.

    Those of experts, which are stacked, are none, nor is one that a table or an output head holds too.
    """
    held = [(isinstance(module, (Linear, LinearStep, nn.Linear)), module) for module in model.modules()]
    own = {(linear, name, p) for linear, module in held for name, p in module.named_parameters(recurse=False)}
    tables = {p for linear, _, p in own if not linear}
    return {p for linear, name, p in own if linear and name == "weight" and p.ndim == 2 and p not in tables}


class MuonBesideAdamW(Optimizer):
    """Each group of parameters says whether they are `matrices`, [width_out, width_in], which are Muon's.

    As in "Muon is Scalable for LLM Training" (arXiv 2502.16982) a step is scaled to be as long as AdamW's, so that both
    learn at one rate. The two share the groups and the state of this one: a schedule and a checkpoint are of both.
    """

    def __init__(self, groups: Sequence[dict[str, Any]], *, adamw: Mapping[str, Any]) -> None:
        """`adamw` are the options of that one."""
        super().__init__(groups, {})
        kinds: dict[bool, Callable[[list[dict[str, Any]]], Optimizer]] = {
            True: lambda groups: Muon(groups, momentum=0.95, nesterov=True, adjust_lr_fn="match_rms_adamw"),
            False: lambda groups: AdamW(groups, **adamw),
        }
        self._both = {matrices: kind(own) for matrices, kind in kinds.items() if (own := self._groups(matrices))}
        self._share()

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Each with its own parameters; their losses are computed by who calls."""
        assert closure is None
        for optimizer in self._both.values():
            optimizer.step()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._share()

    def _groups(self, matrices: bool) -> list[dict[str, Any]]:
        return [group for group in self.param_groups if group["matrices"] == matrices]

    def _share(self) -> None:
        """Groups and state are new objects once they were loaded."""
        for matrices, optimizer in self._both.items():
            optimizer.param_groups, optimizer.state = self._groups(matrices), self.state
