"""The values that training begins from, where there is no checkpoint."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from triptych.errors import OptionError
from triptych.training.components import by_path, without_parameters


@torch.no_grad()
def scale_matrices(module: nn.Module, begin: Mapping[str, float]) -> None:
    """Make matrices and tables so many times as large; `begin` says how many by component, the longest path counting.

    How fast a model learns hangs on what its branches add beside what they are given: smaller matrices, or larger
    tables of tokens, keep a token what it is. Raises OptionError for components that the model does not have.
    """
    parameters = dict(module.named_parameters())
    if lost := without_parameters(begin, parameters):
        raise OptionError(f"nothing of this model stands in {' and '.join(lost)}", path="train.begin")
    for path, times in by_path(begin, parameters).items():
        if parameters[path].ndim > 1:
            parameters[path].mul_(times)
