"""Experts on a shortcut past the second half of a layer, as LongCat-Flash has them.

Meituan 2025, arXiv 2509.01322, section 2.2; after Cai et al. 2024, arXiv 2404.05019.
"""
# T tokens, D width

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn

from triptych.contrib_models.longcat_flash_spec import ShortcutExpertsSpec
from triptych.parts.norms import normed_sum
from triptych.parts.parameters import Part
from triptych.parts.step import Step


class ShortcutExperts(Part):
    """Attention, MLP, attention, MLP, each added to the rows; experts see what the first MLP sees, and come last."""

    Spec = ShortcutExpertsSpec
    cache_need = None  # what attention needs stands there

    def __init__(self, spec: ShortcutExpertsSpec, *, width: int, key: str) -> None:
        super().__init__()
        self.key = key
        for name in ("attention", "mlp"):
            mixer: Any = getattr(spec, name)
            self.add_module(f"{name}_norm", nn.ModuleList(spec.norm.build(width=width) for _ in range(2)))
            self.add_module(name, nn.ModuleList(mixer.build(width=width, key=f"{key}.{name}.{n}") for n in range(2)))
        self.experts: nn.Module = spec.experts.build(width=width, key=f"{key}.experts")

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        norms, mlp_norms, attentions, mlps = map(self._two, ("attention_norm", "mlp_norm", "attention", "mlp"))
        y_TD, x_TD = normed_sum(mlp_norms[0], x_TD, attentions[0](norms[0](x_TD), step))
        experts_TD = self._modules["experts"](y_TD, step)
        y_TD, x_TD = normed_sum(norms[1], x_TD, mlps[0](y_TD, step))
        y_TD, x_TD = normed_sum(mlp_norms[1], x_TD, attentions[1](y_TD, step))
        z_TD: Tensor = x_TD + mlps[1](y_TD, step) + experts_TD
        return z_TD

    def _two(self, name: str) -> tuple[nn.Module, ...]:
        return tuple(cast(nn.ModuleList, self._modules[name]))
