"""attention: every row looks at the rows of its own sequence, the kept ones too, and takes a mean of their values."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from triptych.errors import KernelError
from triptych.kernels.attention import reference, sdpa
from triptych.kernels.attention.alibi import Alibi as Alibi
from triptych.kernels.attention.alibi import AlibiKind
from triptych.kernels.attention.decoding import DecodeSpans as DecodeSpans
from triptych.kernels.attention.spans import Kept as Kept
from triptych.kernels.attention.spans import Reach as Reach
from triptych.kernels.attention.spans import Spans as Spans
from triptych.kernels.choice import kernel_for


def attention(
    q_THK: Tensor,
    k_TGK: Tensor,
    v_TGV: Tensor,
    *,
    spans: Spans,
    kept: Kept | None = None,
    scale: float,
    causal: bool = True,
    window: int | None = None,
    chunk: int | None = None,
    whole_blocks: bool = False,
    softcap: float | None = None,
    temperature_length: int | None = None,
    sinks: Tensor | None = None,
    alibi: AlibiKind | None = None,
) -> Tensor:
    """q [T, H, K], k [T, G, K], v [T, G, V] of packed sequences -> [T, H, V]; query head h reads head h // (H / G).

    With `kept`, a sequence sees its rows in the cache (the new ones are there already), else those of the step alone.
    `causal`: no row sees one that comes after it, but for those of its own block, where `spans` has blocks.
    `window`: those after it and itself, and the `window` - 1 rows before it. `chunk`: of the rows before it those alone
    of its own `chunk` rows, of the chunks that follow each other from the start of the sequence. `whole_blocks`: these
    two say nothing of the rows of its own block.
    `softcap` c: scores become c tanh(score / c). `temperature_length` n: then those of the row at a position p are
    multiplied by log(p) / log(n), where that is more than one, as Grok-2 has it. `sinks` [H]: the score of one row
    more, which every row sees and which has no value, so that its share is lost (Xiao et al. 2023, arXiv 2309.17453;
    as gpt-oss learns it).
    `alibi`: scores fall with the distance in that way. Raises KernelError when shapes do not fit together, and where
    `spans` are on a GPU alone that has no kernel for them.
    """
    (T, H, K), G = q_THK.shape, k_TGK.shape[1]
    if k_TGK.shape != (T, G, K) or v_TGV.shape[:2] != (T, G) or H % G or spans.bounds[-1] != T:
        shapes = ", ".join(f"{name} {tuple(x.shape)}" for name, x in zip("qkv", (q_THK, k_TGK, v_TGV), strict=True))
        raise KernelError(f"attention: {shapes} over {spans.bounds[-1]} rows")
    if sinks is not None and sinks.shape != (H,):
        raise KernelError(f"attention: sinks {tuple(sinks.shape)} for {H} heads")
    if not T:
        return v_TGV.new_zeros(0, H, v_TGV.shape[-1])
    reach = Reach(window, chunk, whole_blocks, alibi and Alibi(H, alibi, scale))
    if kernel := kernel_for("attention", q_THK, k_TGK, v_TGV, kept=kept, scale=scale, sinks=sinks):
        attend: Callable[..., Tensor] = partial(
            kernel.attention, softcap=softcap, temperature_length=temperature_length
        )
    elif isinstance(spans, DecodeSpans) and q_THK.is_cuda:  # plain torch would look at as many rows as there may be
        raise KernelError("attention: a step whose numbers are on the device alone needs the kernel on a GPU")
    elif softcap is temperature_length is None and not (alibi and spans.blocks) and not isinstance(spans, DecodeSpans):
        attend = sdpa.attention
    else:
        attend = partial(reference.attention, softcap=softcap, temperature_length=temperature_length)
    return attend(q_THK, k_TGK, v_TGV, spans=spans, kept=kept, scale=scale, causal=causal, reach=reach, sinks=sinks)
