"""One step of training beside that of the reference: the loss of a batch, and the gradient of every parameter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import triptych
from tests.parity.multimodal import Pair, all_cases
from tests.parity.oracle import rms_ratio
from triptych.inputs.prompt import Prompt
from triptych.training.learner import IGNORED, Learner, labels_of

ANSWERS = ((31, 47, 5), (90,), (12, 13, 14, 15, 16))
CASES = {case.name: case for case in all_cases()}


def batch(pair: Pair) -> tuple[list[Prompt], list[dict[str, Tensor]]]:
    """Prompts that end with their answers, one of them without an image, and what the reference takes for each."""
    ours, theirs = list[Prompt](), list[dict[str, Tensor]]()
    for images, answer in zip((1, 2, 0), ANSWERS, strict=True):
        asked = pair.ask(images=images, seed=images)
        (prompt,), _ = pair.model.read_with_answers(asked.text, [*answer], [*asked.images], raw=True)
        assert prompt.token_ids == asked.ids
        ours.append(replace(prompt, token_ids=(*prompt.token_ids, *answer)))
        ids = torch.tensor([[*asked.ids, *answer]])
        labels = torch.tensor([[IGNORED] * len(asked.ids) + [*answer]])
        theirs.append({"input_ids": ids, "labels": labels, **asked.media})
    return ours, theirs


def reference_step(model: Any, given: list[dict[str, Tensor]]) -> float:
    """The loss over all tokens of all answers; gradients are those of the model's parameters then."""
    tokens = sum(map(len, ANSWERS))
    model.train().requires_grad_(True).zero_grad()
    loss = torch.stack([model(**each, num_items_in_batch=tokens).loss for each in given]).sum()
    loss.backward()
    return loss.item()


@pytest.mark.parametrize("name", ["clip + llama", "siglip + gemma2", "clip + granite, first layer, tied by the parent"])
def test_the_loss_and_every_gradient_are_those_of_the_reference(name: str, tmp_path: Path) -> None:
    pair = Pair.of(CASES[name], tmp_path / "model")
    prompts, theirs = batch(pair)
    loss = reference_step(pair.oracle.model, theirs)
    module = pair.model.module.train().requires_grad_(True)
    found = Learner(module)(prompts, labels_of(prompts, ANSWERS))["loss"]
    found.backward()
    assert found.item() == pytest.approx(loss, rel=1e-6)
    wanted = gradients_as_ours(pair)
    for path, parameter in module.named_parameters():
        assert parameter.grad is not None, path
        assert rms_ratio(parameter.grad, wanted[path]) < 1e-5, path


def gradients_as_ours(pair: Pair) -> dict[str, Tensor]:
    """Those of the reference by our names: saved and read as weights are, for what that does to them is linear."""
    with torch.no_grad():
        for parameter in pair.oracle.model.parameters():
            parameter.copy_(torch.zeros_like(parameter) if parameter.grad is None else parameter.grad)
    pair.oracle.model.save_pretrained(pair.oracle.folder)
    return dict(triptych.load(pair.oracle.folder, dtype=torch.float32).module.named_parameters())
