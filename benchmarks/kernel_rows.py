"""What is timed of each op: a shape, the bytes and operations that it cannot do without, its peers and its floor."""

# T rows, D width, H heads, G key/value heads, K head width, F hidden width, E experts, V vocabulary

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.kernels import activations
from triptych.kernels.qk_norm_rope_cache import Norm, Turn

Given = dict[str, Any]
Sizes = Mapping[str, Any]
Peer = Callable[..., object]
BF16 = 2  # bytes


def close(_: Given, found: Sequence[Tensor], wanted: Sequence[Tensor]) -> bool:
    """Whether the numbers of one are those of the other."""
    return all(torch.allclose(a, b, rtol=1e-3, atol=1e-4) for a, b in zip(found, wanted, strict=True))


@dataclass(frozen=True)
class Row:
    """`make(**sizes)` gives the arguments of the op; `small` are sizes at which all of it can be tried anywhere.

    `bytes` and `flops` are the least for `sizes`, `floor` the share of what the GPU can do of them that is asked for.
    Peers take the same arguments, and each does the same: `agrees` tells whether, by what was given, what a peer found
    and what the op did. Where that does not show at small sizes, some of them are those `tried`.
    """

    op: str
    sizes: Sizes
    small: Sizes
    make: Callable[..., Given]
    bytes: int
    flops: int = 0
    floor: float = 0.0
    peers: Mapping[str, Peer] = field(default_factory=dict)
    agrees: Callable[[Given, Sequence[Tensor], Sequence[Tensor]], bool] = close
    tried: Sizes = field(default_factory=dict)

    @property
    def shape(self) -> str:
        return " ".join(f"{name}{size}" for name, size in self.sizes.items())


def draw(*shape: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Random numbers on the GPU if there is one; float32 elsewhere, where no peer is fast and all are exact."""
    on_gpu = torch.cuda.is_available()
    return torch.randn(shape, device="cuda" if on_gpu else "cpu", dtype=dtype if on_gpu else torch.float32)


def rows() -> Iterator[Row]:
    """All of them."""
    for T in (8192, 64):
        yield from _norms(T=T, D=4096)
    yield _rotary(T=8192, H=40, K=128)
    yield _gated(T=8192, F=14336)
    yield _merge(T=8192, D=4096)
    yield _cross_entropy(T=8192, V=128256)
    yield _qk_norm_rope_cache(T=8192, H=32, G=8, K=128)


def _norms(**sizes: int) -> Iterator[Row]:
    T, D = sizes["T"], sizes["D"]
    small = {"T": 5, "D": 64}
    yield Row(
        "layer_norm", sizes, small, lambda **sizes: _norm_given(**sizes) | {"bias": draw(sizes["D"])},
        2 * T * D * BF16, floor=0.92 if T > 64 else 0.0,
        peers={"torch": lambda x, weight, bias, eps: F.layer_norm(x, weight.shape, weight, bias, eps)},
    )  # fmt: skip
    floors = (0.92, 0.93) if T > 64 else (0.0, 0.0)  # of few rows the launch is what takes the time
    yield Row(
        "rms_norm", sizes, small, _norm_given, 2 * T * D * BF16, floor=floors[0],
        peers={"torch": lambda x, weight, eps: F.rms_norm(x, weight.shape, weight, eps), **_liger_norms()},
    )  # fmt: skip
    yield Row(
        "add_rms_norm", sizes, small, partial(_norm_given, added=True), 4 * T * D * BF16, floor=floors[1],
        peers={"torch": _add_rms_norm, **_liger_added()},
    )  # fmt: skip


def _norm_given(*, T: int, D: int, added: bool = False) -> Given:
    return {"x": draw(T, D), "weight": draw(D), "eps": 1e-5} | ({"residual": draw(T, D)} if added else {})


def _add_rms_norm(x: Tensor, weight: Tensor, eps: float, residual: Tensor) -> tuple[Tensor, Tensor]:
    total = x + residual
    return F.rms_norm(total, weight.shape, weight, eps), total


def _rotary(*, T: int, H: int, K: int) -> Row:
    def given(*, T: int, H: int, K: int) -> Given:
        angles = torch.randn(T, 1, K // 2, device=draw(1).device)
        cos, sin = angles.cos(), angles.sin()
        x = draw(T, H, K)
        cos, sin = torch.cat((cos, cos), -1).to(x.dtype), torch.cat((-sin, sin), -1).to(x.dtype)
        return {"x_THK": x, "cos_T1R": cos, "sin_T1R": sin}

    moved = 2 * T * H * K * BF16 + 2 * T * K * BF16
    return Row("rotary", {"T": T, "H": H, "K": K}, {"T": 5, "H": 3, "K": 16}, given, moved, floor=0.88)


def _gated(*, T: int, F: int) -> Row:
    return Row(
        "gated", {"T": T, "F": F}, {"T": 5, "F": 24},
        lambda T, F: {"gate_up": draw(T, 2 * F), "activation": activations.silu},
        3 * T * F * BF16, floor=0.95, peers={"torch": _silu_times},
    )  # fmt: skip


def _silu_times(gate_up: Tensor, activation: Callable[[Tensor], Tensor]) -> Tensor:
    gate, up = gate_up.chunk(2, -1)
    return activation(gate) * up


def _merge(*, T: int, D: int) -> Row:
    """Half of the rows are an item's."""

    def given(*, T: int, D: int) -> Given:
        is_item = torch.arange(T, device=draw(1).device) % 2 == 0
        ids = torch.randint(0, 512, (T,), device=is_item.device)
        return {"ids_T": ids, "table_VD": draw(512, D), "rows_ND": draw(int(is_item.sum()), D), "is_item_T": is_item}

    return Row(
        "merge", {"T": T, "D": D}, {"T": 6, "D": 16}, given, 2 * T * D * BF16, floor=0.85, peers={"torch": _scattered}
    )


def _scattered(ids_T: Tensor, table_VD: Tensor, rows_ND: Tensor, is_item_T: Tensor) -> Tensor:
    return F.embedding(ids_T, table_VD).masked_scatter(is_item_T[:, None], rows_ND)


def _cross_entropy(*, T: int, V: int) -> Row:
    def given(*, T: int, V: int) -> Given:
        logits = draw(T, V)
        return {"logits": logits, "targets": torch.randint(0, V, (T,), device=logits.device)}

    peers = {"torch": lambda logits, targets: F.cross_entropy(logits.float(), targets, reduction="none")}
    return Row("cross_entropy", {"T": T, "V": V}, {"T": 5, "V": 101}, given, T * V * BF16, floor=0.90, peers=peers)


def _qk_norm_rope_cache(*, T: int, H: int, G: int, K: int) -> Row:
    """Each row goes to a place of its own in pages of 64."""

    def given(*, T: int, H: int, G: int, K: int) -> Given:
        pages = -(-T // 64)
        qkv, slots = draw(T, (H + 2 * G) * K), torch.randperm(pages * 64)[:T]
        angles = torch.randn(T, 1, K, device=qkv.device)
        turn = Turn(angles.cos().to(qkv.dtype), angles.sin().to(qkv.dtype))
        k, v = (draw(pages, G, 64, K) for _ in "kv")
        norm = Norm(draw(K), draw(K), eps=1e-6)
        return {
            "qkv_TC": qkv,
            "slots_T": slots.to(qkv.device),
            "k_pages": k,
            "v_pages": v,
            "norm": norm,
            "turn": turn,
        }

    sizes, small = {"T": T, "H": H, "G": G, "K": K}, {"T": 5, "H": 3, "G": 1, "K": 16}
    return Row("qk_norm_rope_cache", sizes, small, given, 2 * T * (H + 2 * G) * K * BF16, floor=0.85)


def _liger_norms() -> Mapping[str, Peer]:
    try:
        from liger_kernel.ops.rms_norm import LigerRMSNormFunction
    except ImportError:
        return {}
    return {"liger": lambda x, weight, eps: LigerRMSNormFunction.apply(x, weight, eps, 0.0, "llama", False)}


def _liger_added() -> Mapping[str, Peer]:
    try:
        from liger_kernel.ops.fused_add_rms_norm import LigerFusedAddRMSNormFunction as Added
    except ImportError:
        return {}
    return {"liger": lambda x, weight, eps, residual: Added.apply(x, residual, weight, eps, 0.0, "llama", False)}
