"""Norms: rows [..., D] -> rows of the same shape and dtype."""

from __future__ import annotations

from torch import Tensor, nn

from triptych.kernels.add_rms_norm import add_rms_norm
from triptych.kernels.layer_norm import layer_norm
from triptych.kernels.rms_norm import rms_norm
from triptych.parts.norms_spec import (
    GainSpec,
    LayerNormByHeadSpec,
    LayerNormSpec,
    RmsNormByHeadSpec,
    RmsNormSpec,
    TimesSpec,
)
from triptych.parts.parameters import Part, parameter


def normed_sum(norm: nn.Module, x: Tensor, beside: Tensor) -> tuple[Tensor, Tensor]:
    """The normed sum, and the sum: as one operation where the norm has one."""
    if (of_sum := getattr(norm, "of_sum", None)) is not None:
        found: tuple[Tensor, Tensor] = of_sum(x, beside)
        return found
    x = x + beside
    return norm(x), x


class RmsNorm(Part):
    """Rows over their root mean square, times (weight + offset)."""

    Spec = RmsNormSpec

    def __init__(self, spec: RmsNormSpec, *, width: int) -> None:
        super().__init__()
        self.eps, self.offset, self.cast_first = spec.eps, spec.offset, spec.cast == "before"
        self.weight = parameter(width) if spec.weight else None

    def forward(self, x: Tensor) -> Tensor:
        weight = self._parameters.get("weight")
        return rms_norm(x, weight, eps=self.eps, offset=self.offset, cast_first=self.cast_first)

    def of_sum(self, x: Tensor, beside: Tensor) -> tuple[Tensor, Tensor]:
        """The normed sum, and the sum: as one operation where there is a kernel. A norm need not have this."""
        weight = self._parameters.get("weight")
        return add_rms_norm(x, beside, weight, eps=self.eps, offset=self.offset, cast_first=self.cast_first)


class LayerNorm(Part):
    """Rows less their mean, over their standard deviation, times (weight + offset), plus a bias."""

    Spec = LayerNormSpec

    def __init__(self, spec: LayerNormSpec, *, width: int) -> None:
        super().__init__()
        self.eps, self.offset = spec.eps, spec.offset
        self.weight = parameter(width) if spec.affine else None
        self.bias = parameter(width) if spec.affine and spec.bias else None

    def forward(self, x: Tensor) -> Tensor:
        weight: Tensor | None = self._parameters.get("weight")
        if self.offset and weight is not None:
            weight = weight + self.offset
        return layer_norm(x, weight, self._parameters.get("bias"), eps=self.eps)


class _NormByHead(Part):
    """Each head of rows [..., H * K] by itself, times a weight [H, K]."""

    def __init__(self, spec: LayerNormByHeadSpec | RmsNormByHeadSpec, *, width: int) -> None:
        super().__init__()
        self.eps = spec.eps
        self.weight = parameter(width // spec.head_dim, spec.head_dim)

    def forward(self, x: Tensor) -> Tensor:
        weight = self._parameters["weight"]
        return (self._normed(x.view(*x.shape[:-1], *weight.shape)) * weight).flatten(-2)

    def _normed(self, x_HK: Tensor) -> Tensor:
        raise NotImplementedError


class LayerNormByHead(_NormByHead):
    """Each head of rows [..., H * K] less its mean, over its standard deviation, times a weight [H, K]."""

    Spec = LayerNormByHeadSpec

    def _normed(self, x_HK: Tensor) -> Tensor:
        return layer_norm(x_HK, None, None, eps=self.eps)


class RmsNormByHead(_NormByHead):
    """Each head of rows [..., H * K] over its root mean square, times a weight [H, K]."""

    Spec = RmsNormByHeadSpec

    def _normed(self, x_HK: Tensor) -> Tensor:
        return rms_norm(x_HK, None, eps=self.eps)


class Times(Part):
    """Rows times one number, and no norm."""

    Spec = TimesSpec

    def __init__(self, spec: TimesSpec, *, width: int) -> None:  # noqa: ARG002  (it is the same for all of it)
        super().__init__()
        self.by = spec.by

    def forward(self, x: Tensor) -> Tensor:
        return x if self.by == 1 else x * self.by


class Gain(Part):
    """Rows times a weight for each of their numbers, and no norm: what is called layer scale after a branch."""

    Spec = GainSpec

    def __init__(self, spec: GainSpec, *, width: int) -> None:
        super().__init__()
        self.weight = parameter(1 if spec.one else width)

    def forward(self, x: Tensor) -> Tensor:
        return x * self._parameters["weight"]
