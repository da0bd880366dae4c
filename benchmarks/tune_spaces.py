"""What is tried for each op: the shapes whose buckets are filled, and the configurations for a bucket."""

# T rows, D width, H heads, G key/value heads, K head width, F hidden width, B sequences, S rows of one, V vocabulary

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from benchmarks.kernel_rows import Sizes
from triptych.kernels.tuned import Config

POWERS = (1, 2, 4, 8, 16, 32)
NUMBERS = 2**14  # that a program of a norm holds, at most


@dataclass(frozen=True)
class Space:
    """`more` are sizes beside those that benchmarks time, for buckets of their own; `writes` what a call changes."""

    op: str
    candidates: Callable[[str], Iterator[Config]]
    more: Sequence[Sizes] = ()
    writes: Sequence[str] = ()


def grid(**choices: Sequence[int]) -> Iterator[Config]:
    """Every choice of each with every one of the others."""
    return (dict(zip(choices, each, strict=True)) for each in product(*choices.values()))


def norms(bucket: str) -> Iterator[Config]:
    """A bucket is what a row is padded to."""
    found = grid(ROWS=POWERS[:4], num_warps=POWERS[1:])
    return (each for each in found if each["ROWS"] * int(bucket) <= NUMBERS)


def attention(bucket: str) -> Iterator[Config]:
    """Rows of a tile are given where keys are cut in parts."""
    if bucket.startswith("parts"):
        return grid(N=(16, 32, 64, 128), num_warps=(2, 4, 8), num_stages=(2, 3, 4, 5))
    return grid(M=(64, 128), N=(32, 64, 128), num_warps=(4, 8), num_stages=(2, 3, 4))


def experts(bucket: str) -> Iterator[Config]:  # noqa: ARG001  (rows of a tile are given)
    return grid(COLUMNS=(32, 64, 128), STEP=(32, 64, 128), num_warps=(4, 8), num_stages=(3, 4, 5))


def heads_of(bucket: str) -> Iterator[Config]:
    """A bucket is heads of queries + of keys, x their width."""
    most = max(map(int, bucket.partition("x")[0].split("+")))
    found = grid(HEADS=POWERS, num_warps=(1, 2, 4, 8))
    return (each for each in found if each["HEADS"] < 2 * most)


WIDTHS = [{"D": width} for width in (1024, 2048, 8192, 16384)]
SPACES = [
    Space("rms_norm", norms, [*WIDTHS, {"T": 2**18, "D": 128}]),
    Space("layer_norm", norms, [*WIDTHS, {"T": 2**16, "D": 512}]),
    Space("rotary", lambda _: grid(ROWS=POWERS[1:], num_warps=(2, 4, 8)), [{"H": 32}, {"H": 8}, {"H": 32, "K": 64}]),
    Space("gated", lambda _: grid(ROWS=POWERS[:4], BLOCK=(512, 1024, 2048, 4096), num_warps=(4, 8)), [{"F": 768}]),
    Space("merge", lambda _: grid(ROWS=POWERS[:4], num_warps=(4, 8)), [{"D": 1024}, {"D": 64, "T": 2**16}]),
    Space("sample", lambda _: grid(BLOCK=(1024, 2048, 4096), num_warps=(4, 8, 16)), [{"V": 32064}, {"V": 151936}]),
    Space("cross_entropy", lambda _: grid(BLOCK=(1024, 2048, 4096, 8192), num_warps=(4, 8, 16))),
    Space(
        "qk_norm_rope_cache", heads_of, [{"H": 32, "G": 4}, {"H": 16}, {"H": 28, "G": 4}], writes=("k_pages", "v_pages")
    ),
    Space("attention", attention),
    Space("moe", experts, [{"T": 512}, {"T": 1024}]),
]
