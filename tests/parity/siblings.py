"""The reference's classes beside the one that writes: of the same family, with another end to their names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from tests.parity.oracle import Oracle, build_oracle, tiny_config
from triptych.registry.suffixes import find_suffix


def sibling(own: str, suffix: str) -> str | None:
    """The class of the family of `own` with this end to its name, if there is one that reads the same config."""
    name = own.removesuffix(find_suffix(own)) + suffix
    if not hasattr(transformers, own):  # of ours, or inside another one
        return None
    found = getattr(transformers, name, None)
    return name if found and found.config_class is getattr(transformers, own).config_class else None


def build(own: str, suffix: str, folder: Path, **changes: Any) -> Oracle:
    """A tiny model of that class, saved in `folder`."""
    config = tiny_config(own)
    assert config is not None
    changes = {"architectures": [sibling(own, suffix)], "pad_token_id": None, **changes}
    return build_oracle(config | changes, folder, seed=len(own))


def texts(oracle: Oracle, lengths: Sequence[int]) -> list[list[int]]:
    """Random token ids, a list of each length."""
    return [oracle.random_ids(length, seed=number) for number, length in enumerate(lengths)]


@torch.inference_mode()
def outputs(oracle: Oracle, ids: list[int]) -> Any:
    """What the reference makes of one text."""
    return oracle.model(torch.tensor([ids]))
