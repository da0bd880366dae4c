"""What a model gives to the runner, held to the rows and the width that the runner reads them by."""

# D width, V vocabulary

from __future__ import annotations

from torch import Tensor

from triptych.errors import CapabilityError


def check_rows(model: object, found: object, count: int, *, by: str) -> Tensor:
    """What a method of a model gives, one row [D] or [V] for each of `count`.

    Raises CapabilityError for anything else: rows that are not those of the tokens are numbers of another text.
    """
    if isinstance(found, Tensor) and found.ndim == 2 and len(found) == count:
        return found
    given = f"a tensor {list(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
    raise CapabilityError(f"{by} of {type(model).__qualname__} gives {given}; a tensor [{count}, ...] is wanted")


def check_logits(model: object, found: object, count: int, *, vocab_size: int) -> Tensor:
    """What `compute_logits` gives for `count` rows, [count, V].

    Raises CapabilityError for anything else: in a row of another width a number is no token's, or a token has none.
    """
    logits = check_rows(model, found, count, by="compute_logits")
    if (width := logits.shape[1]) == vocab_size:
        return logits
    name, cure = type(model).__qualname__, "cut them" if width > vocab_size else "bring them through the whole head"
    raise CapabilityError(
        f"compute_logits of {name} gives rows of {width}, and its vocab_size is {vocab_size}; {cure}, "
        "or set vocab_size where the model is built"
    )
