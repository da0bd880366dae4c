"""FSDP, by Accelerate: each process keeps a part of every parameter; where a whole model is asked for, it is gathered.

Layers of the language model are gathered one by one as they run, all else for the length of a step: for a tower, which
a batch without items passes by, a process whose batch has some would wait in vain.
"""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from triptych.assembly.stack import Block
from triptych.errors import OptionError
from triptych.training.forms import StageForm
from triptych.training.learner import Learner

CURE = "start the processes with torchrun alone, or with accelerate launch --multi_gpu"


class ShardedBlock(Block):
    """A layer that is gathered by itself: Accelerate asks for such by their class."""


class Shards:
    """The parts of a learner that a stage trains. `plugin` is what Accelerate was asked for, and is told the rest.

    It is made before they are cut. They are gathered as they are, in float32, whatever dtype products are in.
    """

    def __init__(self, learner: Learner, plugin: Any) -> None:
        from torch.distributed.fsdp import MixedPrecisionPolicy
        from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy

        self._empty = _with_parameters(learner, lambda p: nn.Parameter(torch.empty_like(p, device="meta"), False))
        layers = layers_of(learner.model)
        for layer in layers:
            layer.__class__ = ShardedBlock
        if layers:
            _language_model(learner.model).embed.register_forward_hook(_with_gradient)
        plugin.auto_wrap_policy = transformer_auto_wrap_policy if layers else None
        plugin.transformer_cls_names_to_wrap = [ShardedBlock.__name__]
        plugin.cpu_ram_efficient_loading = False  # every process has read the weights
        plugin.mixed_precision_policy = MixedPrecisionPolicy()

    def gather(self, learner: nn.Module, *, everywhere: bool) -> dict[str, Tensor]:
        """The whole parameters of the model by their paths: of every process, on its device, or on the first's CPU.

        All processes ask together; the others have none then.
        """
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

        options = StateDictOptions(full_state_dict=True, cpu_offload=not everywhere)
        found: dict[str, Any] = get_model_state_dict(learner, options=options)
        paths = [path for path, _ in self._empty.model.named_parameters()] if found else []
        return {path: found[f"model.{path}"] for path in paths}

    def whole(self, learner: nn.Module) -> Learner:
        """A plain copy, for every process: it has room beside the parts only while it is tried, and is not kept."""
        found = {f"model.{path}": tensor for path, tensor in self.gather(learner, everywhere=True).items()}
        names = {parameter: name for name, parameter in self._empty.named_parameters()}
        copy: Learner = _with_parameters(self._empty, lambda p: nn.Parameter(found[names[p]], False))
        return copy

    def with_all_that_learns(self, learner: nn.Module, loss: Tensor, sum_of: Any) -> Tensor:
        """The loss, with gradients of nought for what took part in another process alone: each sums the same ones.

        `sum_of` sums a tensor over all processes.
        """
        from torch.distributed.tensor import DTensor

        there = [p for p in learner.parameters() if p.requires_grad and not isinstance(p, DTensor)]
        own = _reached(loss)
        used = torch.tensor([float(p in own) for p in there], device=loss.device)
        anywhere = sum_of(used).tolist() if there else []
        lacking = [p for p, count in zip(there, anywhere, strict=True) if count and p not in own]
        reaching: Any = _Reaching.apply
        reached: Tensor = reaching(loss, *lacking) if lacking else loss
        return reached


def check_shards(plugin: Any, stage: StageForm, *, name: str) -> None:
    """Raise OptionError for what cannot be trained in parts."""
    wrong = {
        f"FSDP 1 is not taken; `fsdp_version: 2` is ({CURE} otherwise)": plugin.fsdp_version != 2,
        "FSDP leaves parts of matrices, and Muon takes whole ones; `optimizer: adamw` does": stage.optimizer == "muon",
        f"`lora` is not taken under FSDP; {CURE}": bool(stage.lora),
        "`fsdp_activation_checkpointing` is not taken; false does": bool(plugin.activation_checkpointing),
    }
    for told, is_so in wrong.items():
        if is_so:
            raise OptionError(f"stage {name!r}: {told}", path="train.stages")


def layers_of(model: nn.Module) -> list[nn.Module]:
    """The layers of the language model that share no parameter with anything beside them."""
    held = Counter(id(parameter) for _, parameter in model.named_parameters(remove_duplicate=False))
    layers = [layer for layer in getattr(_language_model(model), "layers", ()) if type(layer) is Block]
    return [layer for layer in layers if all(held[id(parameter)] == 1 for parameter in layer.parameters())]


def _language_model(model: Any) -> Any:
    return model.get_language_model() if hasattr(model, "get_language_model") else model


@torch.no_grad()
def load_whole(parameter: Tensor, tensor: Tensor) -> None:
    """Take the values of a whole tensor, or what of them this process keeps."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if isinstance(parameter, DTensor):
        tensor = distribute_tensor(tensor, parameter.device_mesh, parameter.placements, src_data_rank=None).to_local()
        parameter = parameter.to_local()
    parameter.copy_(tensor)


def _with_parameters(learner: Any, made: Any) -> Any:
    """A copy with other parameters, each of which is made of the one in its place."""
    return deepcopy(learner, {id(parameter): made(parameter) for parameter in learner.parameters()})


def _with_gradient(_: nn.Module, __: object, x_TD: Tensor) -> Tensor:
    """Every process goes back through all layers, though below them a batch without items may have nothing to learn."""
    return x_TD.detach().requires_grad_() if torch.is_grad_enabled() and not x_TD.requires_grad else x_TD


def _reached(loss: Tensor) -> set[Tensor]:
    """The parameters that a loss has gradients for."""
    found, seen, ahead = set[Tensor](), set[Any](), [loss.grad_fn]
    while ahead:
        node: Any = ahead.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.add(node.variable)
        ahead += [above for above, _ in node.next_functions]
    return found


class _Reaching(Function):
    """A loss that reaches more parameters, whose gradients are nought."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, *parameters: Tensor) -> Tensor:
        ctx.parameters = parameters
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        return grad, *(torch.zeros_like(parameter) for parameter in ctx.parameters)
