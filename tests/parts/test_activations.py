"""Activations against transformers' under the same names."""

from __future__ import annotations

import pytest
import torch
from transformers.activations import ACT2FN

from triptych.errors import UnknownNameError
from triptych.parts.activations import get_activation
from triptych.registry import part_names

NOT_THEIRS = {"softplus": lambda x: (1 + x.exp()).log()}


@pytest.mark.parametrize("name", part_names("activation"))
def test_every_activation_equals_the_one_of_that_name(name: str) -> None:
    x = torch.linspace(-6, 6, 401)
    wanted = NOT_THEIRS[name](x) if name in NOT_THEIRS else ACT2FN[name](x)
    torch.testing.assert_close(get_activation(name)(x), wanted, rtol=1e-5, atol=1e-6)


def test_an_unknown_activation_is_named() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown activation 'sulu'; did you mean 'silu'\?"):
        get_activation("sulu")
