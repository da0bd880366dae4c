"""Names and numbers of layers, as constructors of hand-written models use them; and batches of items made flat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, overload

import torch
from torch import Tensor

from triptych.arguments import check_arguments
from triptych.errors import OptionError, WeightMapError


def maybe_prefix(prefix: str, name: str) -> str:
    """`prefix.name`, or the name alone below nothing."""
    check_arguments(prefix=(prefix, str), name=(name, str))
    return f"{prefix}.{name}" if prefix else name


def extract_layer_index(layer_name: str, num_attn_module: int = 1) -> int:
    """The number of the layer that a dotted name stands in: its only whole number.

    Where a layer has several attention modules, a name with `attn` in it may have a second number, which counts them:
    the result then counts attention modules through all layers. Raises WeightMapError for another count of numbers.
    """
    check_arguments(layer_name=(layer_name, str), num_attn_module=(num_attn_module, int))
    numbers = [int(step) for step in layer_name.split(".") if step.isdecimal()]
    most = 2 if num_attn_module > 1 and "attn" in layer_name else 1
    if not 1 <= len(numbers) <= most:
        wanted = "one number, or two," if most > 1 else "exactly one number"
        raise WeightMapError(f"{wanted} is wanted between dots, not {len(numbers)}", path=layer_name)
    if most == 1:
        return numbers[0]
    return numbers[0] * num_attn_module + (numbers[1] if len(numbers) > 1 else 0)


def get_layer_index(feature_layer_index: int, num_hidden_layers: int) -> int:
    """How many layers give the hidden states of that index: 0 those before the first, -1 those after the last.

    Raises OptionError for an index past either end.
    """
    check_arguments(feature_layer_index=(feature_layer_index, int), num_hidden_layers=(num_hidden_layers, int))
    past = num_hidden_layers + 1 if feature_layer_index < 0 else 0
    if not 0 <= (found := feature_layer_index + past) <= num_hidden_layers:
        raise OptionError(
            f"hidden states {feature_layer_index} of {num_hidden_layers} layers: "
            f"{-num_hidden_layers - 1} to {num_hidden_layers} are there"
        )
    return found


@overload
def flatten_bn(x: Tensor | list[Tensor], *, concat: Literal[True]) -> Tensor: ...
@overload
def flatten_bn(x: Tensor, *, concat: bool = ...) -> Tensor: ...
@overload
def flatten_bn(x: list[Tensor], *, concat: Literal[False] = ...) -> list[Tensor]: ...
def flatten_bn(x: Tensor | list[Tensor], *, concat: bool = False) -> Tensor | list[Tensor]:
    """[B, N, ...] -> [B * N, ...]; of a list of B tensors [N_b, ...] all rows: a list, or with `concat` one tensor."""
    check_arguments(x=(x, Tensor | Sequence))
    if isinstance(x, Tensor):
        return x.flatten(0, 1)
    return torch.cat(x) if concat else [row for rows in x for row in rows]
