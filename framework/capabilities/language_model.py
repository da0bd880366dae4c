"""The language model among the children of a multimodal model."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

from triptych.capabilities.base import is_language_model
from triptych.errors import MissingMemberError

if TYPE_CHECKING:
    from torch import nn


def find_language_model(model: nn.Module, marked: Sequence[str]) -> str:
    """Path of the child that the `marked` names share, if it can be a language model, else of the first that can.

    Raises MissingMemberError when there is none.
    """
    steps = zip(*(name.split(".") for name in marked), strict=False)
    shared = ".".join(step[0] for step in takewhile(lambda step: len(set(step)) == 1, steps))
    if shared and is_language_model(model.get_submodule(shared)):
        return shared
    for name, child in model.named_children():
        if is_language_model(child):
            return name
    raise MissingMemberError(
        f"{type(model).__qualname__} has no child that can be its language model: one with embed_input_ids and forward"
    )
