"""What is timed of attention: prompts, an encoder's items, and decoding over pages."""

# T rows, S rows of one sequence, B sequences, H heads, G key/value heads, K head width

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.kernel_rows import BF16, Given, Peer, Row, draw
from triptych.kernels.attention import Kept, Spans

PAGE = 64
BACKENDS = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}


def rows() -> Iterator[Row]:
    """All of them."""
    for B, S, floor in ((1, 8192, 0.45), (8, 2048, 0.40)):
        yield _prompts({"B": B, "S": S, "H": 32, "G": 8, "K": 128}, causal=True, floor=floor)
    yield _prompts({"B": 64, "S": 577, "H": 16, "G": 16, "K": 64}, causal=False, floor=0.40)
    for B, S, floor in ((64, 4096, 0.88), (1, 32768, 0.80), (1, 4096, 0.0)):
        yield _decoding({"B": B, "S": S, "H": 32, "G": 8, "K": 128}, floor=floor)


def _prompts(sizes: Mapping[str, int], *, causal: bool, floor: float) -> Row:
    B, S, H, G, K = (sizes[name] for name in "BSHGK")
    seen = S * (S + 1) // 2 if causal else S * S
    return Row(
        "attention",
        sizes,
        {"B": 2, "S": 9, "H": 4, "G": 2 if causal else 4, "K": 16},
        partial(_prompts_given, causal=causal),
        bytes=B * S * (2 * H + 2 * G) * K * BF16,
        flops=4 * B * H * K * seen,
        floor=floor,
        peers=_sdpa(),
    )


def _prompts_given(*, B: int, S: int, H: int, G: int, K: int, causal: bool) -> Given:
    q, k, v = (draw(B * S, heads, K) for heads in (H, G, G))
    return {"q_THK": q, "k_TGK": k, "v_TGV": v, "spans": Spans.of([S] * B), "scale": K**-0.5, "causal": causal}


def _sdpa() -> Mapping[str, Peer]:
    """On a GPU each of torch's own by itself, elsewhere the one that there is."""

    def peer(backends: list[SDPBackend] | None) -> Peer:
        def run(*, q_THK: Tensor, k_TGK: Tensor, v_TGV: Tensor, spans: Spans, scale: float, causal: bool) -> Tensor:
            q, k, v = (
                x.view(len(spans.new), spans.new[0], *x.shape[1:]).transpose(1, 2) for x in (q_THK, k_TGK, v_TGV)
            )
            attend: Callable[..., Tensor] = partial(F.scaled_dot_product_attention, enable_gqa=True)
            if backends is None:
                y = attend(q, k, v, is_causal=causal, scale=scale)
            else:
                with sdpa_kernel(backends):
                    y = attend(q, k, v, is_causal=causal, scale=scale)
            return y.transpose(1, 2).flatten(0, 1)

        return run

    if not torch.cuda.is_available():
        return {"sdpa": peer(None)}
    return {name: peer([backend]) for name, backend in BACKENDS.items()}


def _decoding(sizes: Mapping[str, int], *, floor: float) -> Row:
    B, S, G, K = (sizes[name] for name in "BSGK")
    return Row(
        "attention",
        sizes,
        {"B": 2, "S": 70, "H": 4, "G": 2, "K": 16},
        _decoding_given,
        bytes=B * S * 2 * G * K * BF16,
        flops=4 * B * sizes["H"] * K * S,
        floor=floor,
        peers={"sdpa on rows side by side": _gathered},
    )


def _decoding_given(*, B: int, S: int, H: int, G: int, K: int) -> Given:
    """A new row for each sequence of S, whose pages stand in no order."""
    pages = -(-S // PAGE)
    order = torch.randperm(B * pages, generator=torch.Generator().manual_seed(1)).view(B, pages).tolist()
    k, v = (draw(B * pages, G, PAGE, K) for _ in "kv")
    q, own_k, own_v = (draw(B, heads, K) for heads in (H, G, G))
    kept, spans = Kept(k, v, order), Spans.of([1] * B, [S - 1] * B)
    return {"q_THK": q, "k_TGK": own_k, "v_TGV": own_v, "spans": spans, "kept": kept, "scale": K**-0.5}


def _gathered(*, q_THK: Tensor, k_TGK: Tensor, v_TGV: Tensor, spans: Spans, kept: Kept, scale: float) -> Tensor:
    """The rows are copied together first, as an engine without pages has them from the start."""
    del k_TGK, v_TGV  # they are in the pages
    S = spans.lengths[0]
    k, v = (x[torch.tensor(kept.tables)].transpose(1, 2).flatten(2, 3)[:, :, :S] for x in (kept.k, kept.v))
    y = F.scaled_dot_product_attention(q_THK[:, :, None], k, v, scale=scale, enable_gqa=True)
    return y[:, :, 0]
