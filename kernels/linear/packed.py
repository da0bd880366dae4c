"""Weights in the blocks that oneDNN multiplies by, laid out once instead of at each call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from threading import Lock
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROWS = 32  # of a product that the blocks are best for; any number is right
TOLERANCE = 1e-2  # of the largest number, which bfloat16 keeps too
_UNPACKING = Lock()  # what one thread writes to a plain matrix is not lost to another, which lays it out too


class PackedWeight(nn.Parameter):
    """A frozen matrix whose numbers lie in blocks: `linear` reads them so, and to all else it is a plain parameter.

    The blocks are kept until something else looks at the numbers: then they are laid out plainly, for good, and what
    is written to them or to a view of them counts. At no time are both there.
    """

    packed: Tensor | None
    plain: Tensor | None

    @staticmethod
    def __new__(cls, weight: Tensor) -> PackedWeight:
        made: PackedWeight = Tensor._make_wrapper_subclass(cls, weight.shape, dtype=weight.dtype, device=weight.device)
        made.packed, made.plain = _packed(weight.detach()), None
        return made

    def __init__(self, weight: Tensor) -> None:
        """`weight` [O, I], of a kind that `pays` says yes to."""

    def unpacked(self) -> Tensor:
        """The plain matrix, which it is from now on."""
        with _UNPACKING:
            if self.plain is None:
                assert self.packed is not None, "one of the two is there"
                with torch.inference_mode(mode=False), torch.no_grad():
                    self.plain, self.packed = self.packed.to_dense(), None
            return self.plain

    @property
    def data(self) -> Tensor:
        """The plain matrix, outside of gradients."""
        return self.unpacked().detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        Tensor.data.__set__(self, value)  # type: ignore[attr-defined]  # its dtype, shape and device
        self.plain, self.packed = value.detach(), None

    def data_ptr(self) -> int:
        """Where the plain matrix is."""
        return self.unpacked().data_ptr()

    def untyped_storage(self) -> torch.UntypedStorage:
        """What holds the plain matrix."""
        return self.unpacked().untyped_storage()

    def __deepcopy__(self, memo: dict[int, Any]) -> nn.Parameter:
        copied = nn.Parameter(self.unpacked().clone(), requires_grad=self.requires_grad)
        memo[id(self)] = copied
        return copied

    def __reduce_ex__(self, protocol: Any) -> Any:
        plain: Any = nn.Parameter(self.unpacked(), requires_grad=self.requires_grad)
        return plain.__reduce_ex__(protocol)

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]  # torch types it by its file
        return f"PackedWeight({tuple(self.shape)}, dtype={self.dtype}, packed={self.packed is not None})"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch's own has no first argument in its type
        cls, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Every operation has the plain matrix; one that writes to it gives it back as what it was called with."""
        written = args[0] if args and func._schema.is_mutable else None  # type: ignore[attr-defined]
        plain_args, plain_kwargs = _plain((args, dict(kwargs or {})))
        found = func(*plain_args, **plain_kwargs)
        return written if isinstance(written, cls) else found


def _plain(value: Any) -> Any:
    if isinstance(value, PackedWeight):
        return value.unpacked()
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value))
    return {key: _plain(each) for key, each in value.items()} if isinstance(value, dict) else value


def linear(x: Tensor, blocks: Tensor, bias: Tensor | None) -> Tensor:
    """x weight^T + bias, of the blocks of a weight."""
    bias = None if bias is None else bias.contiguous()  # the op reads it as if it were
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x, blocks, bias, "none", [], "")
    return y


def blocks_for(x: Tensor, weight: Tensor) -> Tensor | None:
    """The blocks of a weight that rows can be multiplied by; None for a plain one.

    Nor are there any where something has to be remembered for a gradient, which the op has not.
    """
    if type(weight) is not PackedWeight or (blocks := weight.packed) is None:
        return None
    if type(x) is not Tensor or x.dtype != weight.dtype or x.device != weight.device:  # rows may be imagined
        return None
    return None if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad) else blocks


def pays(weight: Tensor) -> bool:
    """Whether products with this weight are sooner done with it in blocks: not float32 with few rows."""
    is_plain = type(weight) in (Tensor, nn.Parameter) and weight.device.type == "cpu" and weight.layout == torch.strided
    return is_plain and weight.ndim == 2 and weight.numel() > 0 and not weight.requires_grad and _works(weight.dtype)


@cache
def _works(dtype: torch.dtype) -> bool:
    """Whether torch's ops, which are private and may go, take this dtype on this processor, and are right."""
    return dtype == torch.bfloat16 and agrees(dtype)


def agrees(dtype: torch.dtype) -> bool:
    """Whether the ops are there for this dtype and give the numbers of `F.linear`."""
    weight = torch.linspace(-1, 1, 48 * 40).sin().view(40, 48).to(dtype)
    x = torch.linspace(-2, 2, 3 * 48).cos().view(3, 48).to(dtype)
    try:
        packed = _packed(weight)
        found = torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")
        same = torch.equal(packed.to_dense(), weight)
    except (AttributeError, RuntimeError):
        return False
    wanted = F.linear(x, weight).float()
    return same and bool((found.float() - wanted).abs().max() <= TOLERANCE * wanted.abs().max())


def _packed(weight: Tensor) -> Tensor:
    with torch.inference_mode(mode=False), torch.no_grad():
        packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS)
    return packed
