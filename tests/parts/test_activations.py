"""Activations against transformers' under the same names."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers.activations import ACT2FN

from triptych.errors import UnknownNameError
from triptych.parts.activations import get_activation
from triptych.registry import part_names

NOT_THEIRS = {"softplus": lambda x: (1 + x.exp()).log()}


@pytest.mark.parametrize("name", part_names("activation"))
def test_every_activation_equals_the_one_of_that_name(name: str) -> None:
    x = torch.linspace(-6, 6, 401)
    ours, theirs = get_activation(name), NOT_THEIRS[name] if name in NOT_THEIRS else ACT2FN[name]
    if isinstance(ours, nn.Module):
        ours.load_state_dict(theirs.float().state_dict(), assign=True)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-6)


def test_an_unknown_activation_is_named() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown activation 'sulu'; did you mean 'silu'\?"):
        get_activation("sulu")
