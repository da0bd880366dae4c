"""Rows that leave a stack before its last loop, as Ouro has them. Zhu et al. 2025, arXiv 2510.25741, section 3."""
# T rows, D width

from __future__ import annotations

import torch
from torch import Tensor

from triptych.contrib_models.ouro_spec import LoopExitSpec
from triptych.parts.parameters import Linear, Part
from triptych.parts.step import Step


class LoopExit(Part):
    """The rows go on as they are; after the last loop come those of the loops that they left after.

    After loop n a row has left with the chance 1 - (1 - l_0) ... (1 - l_n), where l = sigmoid(gate(row)).
    """

    Spec = LoopExitSpec
    cache_need = None

    def __init__(self, spec: LoopExitSpec, *, width: int, key: str) -> None:
        super().__init__()
        self.spec, self.key, self.last = spec, key, spec.loops - 1
        self.gate = Linear(width, 1, bias=True)

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        if self.spec.step is not None and self.spec.step <= self.last:
            return self._after(self.spec.step, x_TD, step)
        return x_TD if self.spec.threshold is None else self._by_chance(self.spec.threshold, x_TD, step)

    def _after(self, loop: int, x_TD: Tensor, step: Step) -> Tensor:
        if step.loop == loop:
            step.left[self.key] = x_TD
        found_TD: Tensor = step.left[self.key] if step.loop == self.last else x_TD
        return found_TD

    def _by_chance(self, threshold: float, x_TD: Tensor, step: Step) -> Tensor:
        """Chances are summed up in float32, one by one, as a sum may reach a threshold that the whole does not."""
        if step.loop == 0:
            ones_T1 = x_TD.new_ones((len(x_TD), 1), dtype=torch.float32)
            step.left[self.key] = (x_TD, ones_T1, 0 * ones_T1, ones_T1 < 0)
        found_TD, stays_T1, chance_T1, gone_T1 = step.left[self.key]
        found_TD = torch.where(gone_T1, found_TD, x_TD)
        if step.loop < self.last:
            leaves_T1 = self._modules["gate"](x_TD).float().sigmoid()
            chance_T1 = chance_T1 + leaves_T1 * stays_T1
            gone_T1 = gone_T1 | (chance_T1 >= threshold)
            step.left[self.key] = (found_TD, stays_T1 * (1 - leaves_T1), chance_T1, gone_T1)
        return found_TD if step.loop == self.last else x_TD
