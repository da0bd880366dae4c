"""Low-rank matrices beside a component's own, by PEFT; at the end of a stage they are added to those."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from triptych.errors import OptionError
from triptych.parts.parameters import Linear
from triptych.training.components import lora_of
from triptych.training.forms import StageForm

ADAPTER = "default"


class Matrices:
    """The matrices of one stage in a model. `paths` are those of the linear layers that they stand beside."""

    def __init__(self, model: nn.Module, stage: StageForm) -> None:
        """Put them in. Raises OptionError for a component without linear layers, and where PEFT is not installed."""
        linear = [path for path, module in model.named_modules() if type(module) is Linear]
        self.model, names = model, lora_of(stage, linear)
        self.paths = [*names]
        if empty := set(stage.lora) - {*names.values()}:
            raise OptionError(f"no linear layers stand in {' and '.join(sorted(empty))} for matrices to stand beside")
        self._own = {path: model.get_submodule(path) for path in self.paths}
        for path, own in self._own.items():
            _put(model, path, _as_of_torch(own))
        if self.paths:
            _inject(model, {path: (stage.lora[name].rank, stage.lora[name].alpha) for path, name in names.items()})

    @torch.no_grad()
    def merged(self) -> dict[str, Tensor]:
        """The parameters of the model without them, by the paths that these have then."""
        found: dict[str, Tensor] = dict(self.model.named_parameters())
        for path in self.paths:
            for name in [name for name in found if name.startswith(f"{path}.")]:
                del found[name]
            layer: Any = self.model.get_submodule(path)
            found[f"{path}.weight"] = layer.base_layer.weight + layer.get_delta_weight(ADAPTER)
            if layer.base_layer.bias is not None:
                found[f"{path}.bias"] = layer.base_layer.bias
        return found

    def learned(self) -> dict[str, Tensor]:
        """The matrices themselves, and all else that is trained beside them, by their paths."""
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def merge(self) -> None:
        """Add them to the weights, and take them out."""
        weights = self.merged()
        for path, own in self._own.items():
            own.weight = nn.Parameter(weights[f"{path}.weight"], requires_grad=False)
            _put(self.model, path, own)


def is_matrix(path: str) -> bool:
    """Whether a parameter's path is that of such a matrix."""
    return ".lora_A." in path or ".lora_B." in path


def _inject(model: nn.Module, wanted: Mapping[str, tuple[int, float | None]]) -> None:
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise OptionError(f"`lora` needs PEFT; pip install triptych[train] ({error})", path="lora") from error
    patterns = {re.escape(path): value for path, value in wanted.items()}
    config = LoraConfig(
        target_modules=[*wanted],
        rank_pattern={path: rank for path, (rank, _) in patterns.items()},
        alpha_pattern={path: 2 * rank if alpha is None else alpha for path, (rank, alpha) in patterns.items()},
    )
    inject_adapter_in_model(config, model, adapter_name=ADAPTER)


def _as_of_torch(own: nn.Module) -> nn.Linear:
    """The same layer, of torch's class, which PEFT knows; the parameters are the same ones."""
    weight, bias = own.weight, own.bias
    assert isinstance(weight, nn.Parameter)
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight, layer.bias = weight, bias  # type: ignore[assignment]
    return layer


def _put(model: nn.Module, path: str, module: nn.Module) -> None:
    owner, _, name = path.rpartition(".")
    setattr(model.get_submodule(owner), name, module)
