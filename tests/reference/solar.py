"""Solar Pro, *self-referenced*: Llama's pieces, with the means of rows that its makers' config names (`bskcn_1` and
`bskcn_2` say where rows are kept, `bskcn_3` and `bskcn_4` where a share of them comes back)."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import LlamaConfig

from tests.reference.uncached import Uncached, UncachedModel


class SolarConfig(LlamaConfig):
    model_type = "solar"


class Model(UncachedModel):
    def through(self, x: Tensor, **given: Any) -> Tensor:
        share, one, two = self.config.bskcn_tv[1], x, x
        for number, layer in enumerate(self.layers):
            one = x if number in self.config.bskcn_1 else one
            two = x if number in self.config.bskcn_2 else two
            if number in self.config.bskcn_3:
                x = share * one + (1 - share) * x
            if number in self.config.bskcn_4:
                x = share * two + (1 - share) * x
            x = layer(x, **given)
        return self.norm(x)


class SolarForCausalLM(Uncached):
    config_class = SolarConfig
    body = Model
