"""Classes that lack what they are asked for."""

from __future__ import annotations

from torch import nn

from triptych.inputs.processing import BaseMultiModalProcessor
from triptych_example_broken.parts import HalfSpec


class HalfNorm(nn.Module):
    """A norm without `forward`."""

    Spec = HalfSpec

    def __init__(self, spec: HalfSpec, *, width: int) -> None:  # noqa: ARG002
        super().__init__()


class HalfForCausalLM(nn.Module):
    """A model that says it takes items and cannot embed them."""

    supports_multimodal = True


class HalfProcessor(BaseMultiModalProcessor):
    """A processor without the steps that every one has."""
