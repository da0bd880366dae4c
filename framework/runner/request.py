"""What is asked of the runner: requests, and the way to run them."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import torch

from triptych.errors import OptionError, Problem
from triptych.inputs.prompt import Prompt
from triptych.kernels.choice import AUTO, Kernels
from triptych.runner.grammar import Form, Grammar
from triptych.runner.options import SamplingOptions
from triptych.runner.transcript import Transcript, TranscriptForm

ENCODED = 2**28  # bytes of encoded items that are kept, where nothing else is said


@dataclass(frozen=True)
class Request:
    """A prompt and how it is to be answered; `grammar` is the form that the options ask for."""

    prompt: Prompt
    options: SamplingOptions
    grammar: Grammar | Transcript | None = None

    def form(self, end_ids: AbstractSet[int]) -> Form | TranscriptForm | None:
        """What follows the form through one answer, of a model with these end ids; None where it is free."""
        return self.grammar.start(self.options.ends(end_ids)) if self.grammar else None


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How to run, which changes no result: where, how many requests at a time, how many bytes for their cache.

    None for `cache_bytes` allows most of the memory that is free. A step has at most `max_num_batched_tokens` tokens,
    which bounds its activations. `encoder_cache_bytes` of encoded items are kept for whoever brings them again.
    With `overlap` a step begins before the tokens of the last one are known; None does so where the device is no CPU,
    on which one step waits for the other anyway. With `graphs` steps in which requests only write are recorded and
    replayed; None does so on CUDA. `kernels` says which ops run on kernels.
    """

    device: torch.device
    dtype: torch.dtype
    max_batch: int = 32
    cache_bytes: int | None = None
    max_num_batched_tokens: int = 8192
    encoder_cache_bytes: int = ENCODED
    overlap: bool | None = None
    graphs: bool | None = None
    kernels: Kernels = AUTO

    def __post_init__(self) -> None:
        check_counts(max_batch=self.max_batch, max_num_batched_tokens=self.max_num_batched_tokens)

    @property
    def overlaps(self) -> bool:
        """Whether a step begins before the tokens of the last one are known."""
        return self.device.type != "cpu" if self.overlap is None else self.overlap


def check_counts(**counts: object) -> None:
    """Raise OptionError with every one that is no whole number from 1 on."""
    wrong = {k: v for k, v in counts.items() if not isinstance(v, int) or isinstance(v, bool) or v < 1}
    if wrong:
        raise OptionError(Problem(f"is {v!r}; a whole number from 1 on is needed", k) for k, v in wrong.items())
